#include "daemon/peer_updates.hpp"

#include <algorithm>

namespace wgring::daemon {
namespace {

// The most that is done between two batches of packets: well under a millisecond.
constexpr std::uint32_t sections_per_call = 256;
constexpr std::uint32_t prefixes_per_call = 1024;

// The next thing to apply: a section, and how many of its prefixes are through already.
struct Cursor {
  std::size_t section = 0;
  std::uint32_t prefix = 0;
};

// One section, or the next piece of one with more prefixes than may be done at once.
noise::PeerUpdate update_at(const SetRequest& request, const Cursor& at,
                            std::uint32_t prefix_count) noexcept {
  const PeerSection& section = request.peers[at.section];
  noise::PeerUpdate update;
  update.public_key = section.public_key;
  update.allowed_ips =
      std::span{request.prefixes}.subspan(section.first_prefix + at.prefix, prefix_count);
  update.more_allowed_ips = !section.remove && at.prefix + prefix_count < section.prefix_count;
  if (at.prefix > 0) {
    update.update_only = true;  // the peer may be our own key's, which is not made
    return update;
  }
  update.remove = section.remove;
  update.update_only = section.update_only;
  update.endpoint = section.endpoint;
  update.persistent_keepalive_s = section.persistent_keepalive_s;
  if (section.preshared_key != PeerSection::no_preshared_key) {
    update.preshared_key = &request.preshared_keys[section.preshared_key];
  }
  return update;
}

Status apply_some(const SetRequest& request, Cursor& at, tun::ShardContext& context) noexcept {
  std::uint32_t sections_left = sections_per_call;
  std::uint32_t prefixes_left = prefixes_per_call;
  while (at.section < request.peers.size() && sections_left > 0 && prefixes_left > 0) {
    const PeerSection& section = request.peers[at.section];
    const std::uint32_t wanted = section.remove ? 0 : section.prefix_count - at.prefix;
    const std::uint32_t now = std::min(wanted, prefixes_left);
    const Status applied =
        context.device.apply_peer(update_at(request, at, now), context.now, context.outbox);
    context.flush();
    if (!applied) {
      return applied;
    }
    prefixes_left -= now;
    if (now < wanted) {
      at.prefix += now;
    } else {
      at = {.section = at.section + 1};
      sections_left -= 1;
    }
  }
  return {};
}

bool can_add(const PeerSection& section) noexcept {
  return !section.remove && !section.update_only;
}

}  // namespace

AdditionBounds addition_bounds(const SetRequest& request) noexcept {
  AdditionBounds bounds;
  for (const PeerSection& section : request.peers) {
    bounds.peers += can_add(section) ? 1U : 0U;
  }
  for (const noise::AllowedIpChange& change : request.prefixes) {
    bounds.prefixes += change.kind == noise::AllowedIpChange::Kind::add ? 1U : 0U;
  }
  return bounds;
}

std::vector<crypto::PublicKey> keys_to_add(const SetRequest& request) {
  std::vector<crypto::PublicKey> keys;
  for (const PeerSection& section : request.peers) {
    if (can_add(section)) {
      keys.push_back(section.public_key);
    }
  }
  std::ranges::sort(keys);
  const auto repeated = std::ranges::unique(keys);
  keys.erase(repeated.begin(), repeated.end());
  return keys;
}

bool removes_peers(const SetRequest& request) noexcept {
  return request.replace_peers || std::ranges::any_of(request.peers, &PeerSection::remove);
}

// Each piece to all shards before the next: they do not know of it for long without each other.
Status apply_peer_sections(tun::Shards& shards, const SetRequest& request) {
  Cursor at;
  Status status;
  while (status && at.section < request.peers.size()) {
    const Cursor start = at;
    shards.call_each([&](tun::ShardContext& context) {
      at = start;
      const Status applied = apply_some(request, at, context);
      status = status ? applied : status;
    });
  }
  return status;
}

}  // namespace wgring::daemon

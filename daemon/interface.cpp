#include "daemon/interface.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <new>
#include <utility>
#include <vector>

#include "base/fixed_vector.hpp"
#include "daemon/log.hpp"
#include "daemon/peer_updates.hpp"
#include "daemon/setup_error.hpp"

namespace wgring::daemon {
namespace {

// Per visit to the shard's thread, so that packets never wait for long.
constexpr std::uint32_t removals_per_call = 256;
constexpr std::uint32_t peers_per_review = 256;

// Peers from `after_serial` on, until the page is full. Returns how many prefixes the page must be
// able to hold to take the first peer; 0: it is filled. Nothing is allocated: the shard's thread.
std::size_t fill_page(const noise::Device& device, std::uint64_t after_serial,
                      PeerPage& page) noexcept {
  page.peer_count = 0;
  page.prefix_count = 0;
  page.last = false;
  const std::span<noise::Prefix> prefixes = page.prefixes;
  while (page.peer_count < page.peers.size()) {
    noise::PeerStatus& status = page.peers[page.peer_count];
    if (!device.next_peer(after_serial, status)) {
      page.last = true;
      return 0;
    }
    if (status.prefix_count > prefixes.size() - page.prefix_count) {
      status.preshared_key.wipe();
      return page.peer_count == 0 ? status.prefix_count : 0;
    }
    after_serial = status.serial;
    page.prefix_count +=
        device.prefixes_of(status.serial, prefixes.subspan(page.prefix_count, status.prefix_count));
    page.peer_count += 1;
  }
  return 0;
}

struct SourcePage {
  FixedVector<noise::PeerEndpoint, peers_per_review> endpoints;  // those with a source
  bool last = false;
};

bool is_v4(const noise::IpAddress& ip) noexcept { return ip.family == noise::Family::v4; }

// Not of IPv6: the kernel's module keeps such a source as long as the address is ours (protocol
// 17), and of one that is not the socket tells at the next packet.
void read_sources(const noise::Device& device, SourceWalk& walk, SourcePage& page) noexcept {
  noise::PeerEndpoint found;
  for (std::uint32_t i = 0; i < peers_per_review && !page.last; ++i) {
    page.last = !device.next_endpoint(walk.after_serial, found);
    if (!page.last) {
      walk.after_serial = found.serial;
      if (is_v4(found.endpoint.source.ip) && is_v4(found.endpoint.remote.ip)) {
        page.endpoints.push_back(found);
      }
    }
  }
}

// As the module decides before it sends.
bool is_wrong(const noise::LocalSource& source, const tun::RouteAnswer& answer) noexcept {
  return answer.errno_value == 0 ? answer.interface_index != source.interface_index
                                 : answer.errno_value == EINVAL;
}

// What only the shard knows on which a peer lives: its endpoint, times and bytes.
void fill_in(const noise::Device& device, std::uint32_t shard, PeerPage& page) noexcept {
  for (noise::PeerStatus& listed : std::span{page.peers}.first(page.peer_count)) {
    if (listed.shard != shard) {
      continue;
    }
    noise::PeerStatus status;
    WG_ASSERT(device.next_peer(listed.serial - 1, status) && status.serial == listed.serial);
    listed = std::move(status);
  }
}

// What came before the door was open may still wait in a socket of a shard.
Instant door_from(const tun::UdpGroup* sockets, Instant now) noexcept {
  const bool is_open = sockets != nullptr && !sockets->door().empty();
  return is_open ? now + std::chrono::seconds{1} : Instant::max();
}

}  // namespace

// What was prepared is undone unless it is taken: reserve() may refuse, and may throw.
class Interface::Preparation {
 public:
  Preparation(Interface& owner, Prepared prepared) noexcept
      : owner_(owner), prepared_(std::move(prepared)) {}
  Preparation(const Preparation&) = delete;
  Preparation& operator=(const Preparation&) = delete;
  ~Preparation() { owner_.undo(prepared_); }
  [[nodiscard]] Prepared take() noexcept { return std::exchange(prepared_, {}); }

 private:
  Interface& owner_;
  Prepared prepared_;
};

Interface::~Interface() { use_sockets(nullptr); }

Status Interface::apply(const SetRequest& request) {
  // First all that can fail, and can be undone.
  Result<Prepared> prepared = prepare(request);
  if (!prepared) {
    return std::unexpected(prepared.error());
  }
  Preparation preparation(*this, std::move(*prepared));
  if (!reserve(request)) {
    return fail(ENOMEM, "no room for so many peers or allowed IPs");
  }
  // From here on all of it happens.
  const bool is_first_key = request.private_key && !mac_keys();
  if (request.private_key) {
    set_private_key(*request.private_key);
  }
  commit(request, preparation.take());
  if (request.replace_peers) {
    remove_all_peers();
  }
  removals_ += removes_peers(request) ? 1U : 0U;
  const Status applied = apply_peer_sections(shards_, request);
  if (is_first_key) {
    shards_.call_each([](tun::ShardContext& context) {
      context.device.send_all_staged(context.now, context.outbox);
    });
  }
  return applied;
}

void Interface::read_device(DeviceStatus& status) {
  status.listen_port = listen_port_;
  status.fwmark = fwmark_;
  status.removals = removals_;
  shards_[0].call([&](tun::ShardContext& context) {
    if (context.device.has_identity()) {
      status.private_key = context.device.private_key().clone();
    } else {
      status.private_key.wipe();
    }
    status.peer_count = context.device.peer_count();
  });
}

void Interface::read_peers(std::uint64_t after_serial, PeerPage& page) {
  std::size_t prefixes_needed = 0;
  do {
    if (prefixes_needed > page.prefixes.size()) {
      page.prefixes.resize(prefixes_needed);
    }
    shards_[0].call([&](tun::ShardContext& context) {
      prefixes_needed = fill_page(context.device, after_serial, page);
    });
  } while (prefixes_needed != 0);
  for (std::uint32_t shard = 1; shard < shards_.count(); ++shard) {
    shards_[shard].call([&](tun::ShardContext& context) { fill_in(context.device, shard, page); });
  }
  page.removals = removals_;
}

void Interface::set_link(Link link) {
  link_ = link;
  if (lacks_sockets()) {
    reopen_sockets();
    open_door();
  }
  if (lacks_sockets() || link == Link::down) {
    use_sockets(nullptr);  // the shards are told of the link by this
  }
}

void Interface::set_mtu(std::uint32_t mtu_bytes) {
  shards_.call_each([mtu_bytes](tun::ShardContext& context) { context.device.set_mtu(mtu_bytes); });
}

void Interface::forget_sources() {
  shards_.call_each([](tun::ShardContext& context) { context.device.forget_sources(); });
}

bool Interface::review_sources(SourceWalk& walk, const RouteAsker& ask) {
  if (sockets_ == nullptr) {
    return true;
  }
  tun::Shard& shard = shards_[walk.shard];
  SourcePage page;
  shard.call([&](tun::ShardContext& context) { read_sources(context.device, walk, page); });
  FixedVector<noise::PeerEndpoint, peers_per_review> wrong;
  for (const noise::PeerEndpoint& peer : page.endpoints) {
    const std::optional<tun::RouteAnswer> answer =
        ask({.endpoint = peer.endpoint, .local_port = listen_port_, .fwmark = fwmark_});
    if (answer && is_wrong(peer.endpoint.source, *answer)) {
      wrong.push_back(peer);
    }
  }
  if (!wrong.empty()) {
    shard.call([&](tun::ShardContext& context) {
      for (const noise::PeerEndpoint& peer : wrong) {
        context.device.forget_source(peer);
      }
    });
  }
  if (page.last) {
    walk = {.shard = walk.shard + 1};
  }
  return walk.shard == shards_.count();
}

Result<Interface::Sockets> Interface::open_sockets(std::uint16_t port, std::uint32_t fwmark) const {
  Result<tun::UdpGroup> group =
      tun::UdpGroup::open_shards(shards_.shard_bits(), shards_.mark(), port, fwmark, runs_);
  if (!group) {
    return std::unexpected(group.error());
  }
  return std::make_unique<tun::UdpGroup>(std::move(*group));
}

// While the link is down port and mark are only remembered.
Result<Interface::Prepared> Interface::prepare(const SetRequest& request) {
  Prepared prepared;
  if (link_ == Link::down) {
    return prepared;
  }
  const std::uint16_t port = request.listen_port.value_or(listen_port_);
  const std::uint32_t fwmark = request.fwmark.value_or(fwmark_);
  if (request.listen_port && (port != listen_port_ || sockets_ == nullptr)) {
    Result<Sockets> opened = open_sockets(port, fwmark);
    if (!opened) {
      return std::unexpected(opened.error());
    }
    if (const Status door = (*opened)->open_door(); !door) {
      return std::unexpected(door.error());
    }
    prepared.sockets = std::move(*opened);
  } else if (sockets_ != nullptr && !sockets_->has_fwmark(fwmark)) {
    if (const Status marked = sockets_->set_fwmark(fwmark); !marked) {
      return std::unexpected(marked.error());
    }
    prepared.marked = true;
  }
  return prepared;
}

void Interface::undo(const Prepared& prepared) noexcept {
  if (prepared.marked) {
    if (const Status undone = sockets_->set_fwmark(fwmark_); !undone) {
      log_error("the former mark cannot be set again: {}", undone.error());
    }
  }
}

void Interface::commit(const SetRequest& request, Prepared prepared) {
  fwmark_ = request.fwmark.value_or(fwmark_);
  listen_port_ = request.listen_port.value_or(listen_port_);
  if (prepared.sockets != nullptr) {
    listen_port_ = prepared.sockets->port();
    use_sockets(std::move(prepared.sockets));
    tell_no_door();
  } else if (prepared.marked) {
    forget_sources();
  } else if (lacks_sockets()) {
    reopen_sockets();
    open_door();
  }
}

void Interface::use_sockets(Sockets sockets) {
  for (std::uint32_t shard = 0; shard < shards_.count(); ++shard) {
    shards_[shard].call([&](tun::ShardContext& context) {
      context.set_sockets(sockets == nullptr ? nullptr : &sockets->of(shard));
      context.device.forget_sources();
      // Not a moment later: what has come to the sockets since they were opened is not lost.
      context.device.set_link(link_ == Link::up, context.now, context.outbox);
      context.device.set_door(door_from(sockets.get(), context.now.boottime));
    });
  }
  sockets_.swap(sockets);
  door_failed_ = false;
  shards_.door().set_sockets(sockets_.get());
}

// After the devices are up, as its sockets are many: what comes out of the interface at once, or
// in, waits for the others only.
void Interface::open_door() noexcept {
  if (sockets_ == nullptr || !sockets_->door().empty()) {
    return;
  }
  const Status opened = sockets_->open_door();
  shards_.door().set_sockets(sockets_.get());
  shards_.call_each([this](tun::ShardContext& context) {
    context.device.set_door(door_from(sockets_.get(), context.now.boottime));
  });
  const bool failed_before = std::exchange(door_failed_, !opened);
  if (opened) {
    tell_no_door();
  } else if (!failed_before) {
    log_error("initiations have no sockets of their own: {}; tried again until the link goes down",
              opened.error());
  }
}

void Interface::tell_no_door() const noexcept {
  if (sockets_->door().empty()) {
    log_info("initiations have no sockets of their own, and a flood costs throughput: {}",
             sockets_->no_door());
  }
}

// Want of memory is a failure like others: the set that led here may be half applied already.
Status Interface::try_sockets() {
  try {
    Result<Sockets> opened = open_sockets(listen_port_, fwmark_);
    if (!opened) {
      return std::unexpected(opened.error());
    }
    listen_port_ = (*opened)->port();
    use_sockets(std::move(*opened));
    return {};
  } catch (const std::bad_alloc&) {
    return fail(ENOMEM, "no room for sockets");
  }
}

void Interface::reopen_sockets() {
  if (const Status opened = try_sockets(); !opened) {
    log_error("no UDP sockets on port {}: {}; tried again until the link goes down", listen_port_,
              opened.error());
  }
}

// A failure was told when it was the first.
void Interface::retry_sockets() {
  if (lacks_sockets() && try_sockets()) {
    open_door();
    log_info("UDP sockets on port {}", listen_port_);
  } else if (door_failed_) {
    open_door();
    if (!sockets_->door().empty()) {
      log_info("initiations have sockets of their own");
    }
  }
}

bool Interface::reserve(const SetRequest& request) {
  const AdditionBounds bounds = addition_bounds(request);
  if (reserve_for(bounds, request.replace_peers)) {
    return true;
  }
  if (request.replace_peers) {
    return false;
  }
  // The bound takes every section for a new peer. Near the limit it matters which are there.
  return reserve_for({.peers = count_new_peers(request), .prefixes = bounds.prefixes}, false);
}

bool Interface::reserve_for(const AdditionBounds& bounds, bool replace_peers) {
  const auto present = replace_peers ? noise::Present::leaves : noise::Present::stays;
  bool reserved = true;
  shards_.call_each([&](tun::ShardContext& context) {
    reserved = reserved && context.device.reserve(bounds.peers, bounds.prefixes, present);
  });
  return reserved;
}

std::uint32_t Interface::count_new_peers(const SetRequest& request) {
  std::vector<crypto::PublicKey> keys = keys_to_add(request);
  std::size_t known = 0;
  PeerPage page;
  std::uint64_t after_serial = 0;
  do {
    read_peers(after_serial, page);
    for (std::size_t i = 0; i < page.peer_count; ++i) {
      known += std::ranges::binary_search(keys, page.peers[i].public_key) ? 1U : 0U;
      after_serial = page.peers[i].serial;
    }
  } while (!page.last);
  return static_cast<std::uint32_t>(keys.size() - known);
}

// The peer that has the new public key goes.
void Interface::set_private_key(const crypto::Secret<32>& key) {
  bool removed = false;
  shards_.call_each([&](tun::ShardContext& context) {
    const std::uint32_t before = context.device.peer_count();
    context.device.set_private_key(key, context.now, context.outbox);
    removed = context.device.peer_count() != before;
  });
  shards_.door().set_mac_keys(mac_keys());
  removals_ += removed ? 1U : 0U;
}

std::optional<noise::MacKeys> Interface::mac_keys() {
  std::optional<noise::MacKeys> keys;
  shards_[0].call([&](tun::ShardContext& context) {
    if (context.device.has_identity()) {
      keys = noise::mac_keys_of(context.device.public_key());
    }
  });
  return keys;
}

void Interface::remove_all_peers() {
  for (bool done = false; !done;) {
    shards_.call_each(
        [&](tun::ShardContext& context) { done = context.device.remove_peers(removals_per_call); });
  }
}

}  // namespace wgring::daemon

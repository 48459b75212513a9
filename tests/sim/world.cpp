#include "tests/sim/world.hpp"

#include <algorithm>

#include "noise/constants.hpp"
#include "tests/sim/test_access.hpp"

namespace wgring::sim {
namespace {

// A Device that still has something due after so many calls in one instant spins.
constexpr int deadline_calls_max = 5'000;

}  // namespace

World::World(const WorldOptions& options) : network(options.seed), options_(options) {
  checks.now = now_;
}

Host& World::add_host(bool up) {
  const HostSetup setup{.position = hosts_.size(),
                        .seed = options_.seed * 64 + hosts_.size(),
                        .packet_slots = options_.packet_slots,
                        .runner = options_.runner};
  const Now now{.boottime = now_, .realtime = WallTime{wall_start + elapsed()}};
  hosts_.push_back(std::make_unique<Host>(setup, now));
  if (up) {
    set_link(*hosts_.back(), true);
  }
  return *hosts_.back();
}

// --- configuration ---

void World::set_link(Host& host, bool up) {
  host.device().set_link(up, now_of(host), host.outbox);
  host.up = up;
  drain(host, Cause::other);
  if (!up) {
    checks.require(host.device().next_deadline().at == never,
                   std::string{host.letter()} + ": a deadline while the link is down");
  }
}

void World::set_key(Host& host, const crypto::Secret<32>& key) {
  const bool is_first = !host.device().has_identity();
  host.device().set_private_key(key, now_of(host), host.outbox);
  drain(host, Cause::other);
  if (is_first) {
    host.device().send_all_staged(now_of(host), host.outbox);
    drain(host, Cause::other);
  }
}

void World::set_mtu(Host& host, std::uint32_t mtu_bytes) {
  host.device().set_mtu(mtu_bytes);
  host.mtu = mtu_bytes;
}

void World::apply(Host& host, const noise::PeerUpdate& update) {
  const Status status = host.device().apply_peer(update, now_of(host), host.outbox);
  checks.require(status.has_value(), "apply_peer failed");
  drain(host, Cause::other);
}

void World::add_peer(Host& on, const Host& peer, const PeerOptions& options) {
  noise::PeerUpdate update;
  update.public_key = peer.public_key();
  update.preshared_key = options.preshared_key;
  update.persistent_keepalive_s = options.persistent_keepalive_s;
  if (options.endpoint != noise::Family::none) {
    update.endpoint = peer.address(options.endpoint);
  }
  const noise::AllowedIpChange prefixes[] = {
      {.prefix = tunnel_prefix(noise::Family::v4, peer.number())},
      {.prefix = tunnel_prefix(noise::Family::v6, peer.number())}};
  update.allowed_ips = prefixes;
  for (const noise::Family family : {noise::Family::v4, noise::Family::v6}) {
    routes_[{on.position(), family, peer.number()}] = peer.position();
  }
  apply(on, update);
}

void World::remove_peer(Host& on, const crypto::PublicKey& key) {
  std::size_t position = no_host;
  for (const auto& host : hosts_) {
    position = host->public_key() == key ? host->position() : position;
  }
  forget_routes(on, position);
  noise::PeerUpdate update;
  update.public_key = key;
  update.remove = true;
  apply(on, update);
}

void World::forget_routes(Host& on, std::size_t position) {
  std::erase_if(routes_, [&](const auto& route) {
    return std::get<0>(route.first) == on.position() && route.second == position;
  });
}

void World::allow(Host& on, const Host& peer, std::uint16_t number) {
  noise::PeerUpdate update;
  update.public_key = peer.public_key();
  const noise::AllowedIpChange prefixes[] = {{.prefix = tunnel_prefix(noise::Family::v4, number)},
                                             {.prefix = tunnel_prefix(noise::Family::v6, number)}};
  update.allowed_ips = prefixes;
  for (const noise::Family family : {noise::Family::v4, noise::Family::v6}) {
    routes_[{on.position(), family, number}] = peer.position();
  }
  apply(on, update);
}

void World::disallow(Host& on, const Host& peer, std::uint16_t number) {
  using Kind = noise::AllowedIpChange::Kind;
  noise::PeerUpdate update;
  update.public_key = peer.public_key();
  update.update_only = true;
  const noise::AllowedIpChange prefixes[] = {
      {.kind = Kind::remove, .prefix = tunnel_prefix(noise::Family::v4, number)},
      {.kind = Kind::remove, .prefix = tunnel_prefix(noise::Family::v6, number)}};
  update.allowed_ips = prefixes;
  for (const noise::Family family : {noise::Family::v4, noise::Family::v6}) {
    const auto at = routes_.find({on.position(), family, number});
    if (at != routes_.end() && at->second == peer.position()) {
      routes_.erase(at);
    }
  }
  apply(on, update);
}

void World::set_endpoint(Host& on, const Host& peer, noise::Family family) {
  noise::PeerUpdate update;
  update.public_key = peer.public_key();
  update.update_only = true;
  update.endpoint = peer.address(family);
  apply(on, update);
}

std::size_t World::owner(const Host& at, noise::Family family, std::uint16_t number) const {
  const auto found = routes_.find({at.position(), family, number});
  return found == routes_.end() ? no_host : found->second;
}

// --- traffic ---

std::uint32_t World::send(Host& from, InnerSpec spec) {
  const std::uint32_t number = checks.next_number();
  send_batch(from, {&spec, 1});
  return number;
}

namespace {

std::uint64_t refused(const Host& host) noexcept {
  const noise::DropCounters& drops = host.device().drops();
  return drops[noise::Drop::no_route] + drops[noise::Drop::no_endpoint];
}

}  // namespace

void World::note_sent(const Host& from, InnerSpec& spec) {
  spec.number = checks.next_number();
  spec.from = spec.from == 0 ? from.number() : spec.from;
  checks.inner_sent(
      {.spec = spec, .from_host = from.position(), .to_host = owner(from, spec.family, spec.to)});
}

void World::send_super(Host& from, InnerSpec spec, std::uint32_t count, std::uint32_t last_bytes) {
  InnerSpec first = spec;
  note_sent(from, first);
  for (std::uint32_t i = 1; i < count; ++i) {
    spec.bytes = i + 1 == count ? last_bytes : first.bytes;
    note_sent(from, spec);
  }
  const SuperPacket super = make_super(first, count, last_bytes);
  const std::uint64_t before = refused(from);
  send_raw(from, super.bytes, super.offload);
  // What has nowhere to go is refused, and counted, before it is cut.
  from.totals.tun_packets += !from.up ? 0 : refused(from) == before ? count : 1;
}

void World::send_batch(Host& from, std::span<const InnerSpec> specs) {
  WG_ASSERT(specs.size() <= noise::plain_batch_max);
  std::vector<std::vector<std::uint8_t>> buffers;
  std::vector<noise::Plain> batch;
  for (InnerSpec spec : specs) {
    note_sent(from, spec);
    buffers.push_back(make_inner(spec));
    buffers.back().resize(spec.bytes + noise::plain_tailroom_bytes);
    batch.push_back({.data = buffers.back().data(), .bytes = spec.bytes});
  }
  from.totals.tun_packets += from.up ? batch.size() : 0;
  for (std::span<const noise::Plain> left{batch}; !left.empty();) {
    left = left.subspan(from.device().on_tun(left, now_of(from), from.outbox));
    drain(from, Cause::tun);
  }
}

void World::send_raw(Host& from, Bytes packet, noise::VnetHeader offload) {
  const TunRead read{.packet = {packet.begin(), packet.end()}, .offload = offload};
  send_reads(from, {&read, 1});
}

void World::send_reads(Host& from, std::span<const TunRead> reads) {
  std::vector<std::vector<std::uint8_t>> buffers;
  std::vector<noise::Plain> batch;
  for (const TunRead& read : reads) {
    buffers.push_back(read.packet);
    buffers.back().resize(read.packet.size() + noise::plain_tailroom_bytes);
    batch.push_back({.data = buffers.back().data(),
                     .bytes = static_cast<std::uint32_t>(read.packet.size()),
                     .offload = read.offload});
  }
  for (std::span<const noise::Plain> left{batch}; !left.empty();) {
    left = left.subspan(from.device().on_tun(left, now_of(from), from.outbox));
    drain(from, Cause::tun);
  }
}

void World::receive(Host& at, std::span<const Datagram> datagrams, bool as_trains) {
  std::vector<noise::Wild> batch;
  bool closed = true;  // no more may join the last train
  for (const Datagram& datagram : datagrams) {
    const auto bytes = static_cast<std::uint32_t>(datagram.bytes.size());
    noise::Wild* last = batch.empty() ? nullptr : &batch.back();
    const bool joins = as_trains && !closed && bytes > 0 && bytes <= last->stride_bytes &&
                       last->source == datagram.from && last->ecn == (datagram.traffic_class & 3) &&
                       last->bytes + bytes <= last->slot.bytes().size() &&
                       last->bytes < last->stride_bytes * noise::train_segments_max;
    if (!joins) {
      noise::Wild wild;
      wild.slot = at.trains().take();
      WG_ASSERT(static_cast<bool>(wild.slot));
      wild.stride_bytes = as_trains ? bytes : 0;
      wild.source = datagram.from;
      wild.destination.ip = datagram.to.ip;
      wild.ecn = datagram.traffic_class & 3;
      batch.push_back(std::move(wild));
      last = &batch.back();
      closed = !as_trains;
    }
    copy_bytes(last->slot.bytes().subspan(last->bytes), datagram.bytes);
    last->bytes += bytes;
    closed = closed || bytes < last->stride_bytes;
  }
  WG_ASSERT(batch.size() <= noise::wild_batch_max);
  at.totals.udp_datagrams += datagrams.size();
  const std::uint64_t delivered = at.totals.delivered;
  const std::size_t waiting = noise::CoreTestAccess::queued_handshakes(at.device());
  const noise::DropCounters before = at.device().drops();
  at.device().on_udp(batch, now_of(at), at.outbox);
  batch.clear();
  drain(at, Cause::udp);
  checks.batch(at,
               {.datagrams = datagrams,
                .before = before,
                .delivered = at.totals.delivered - delivered,
                .handshakes = waiting},
               delivered_now_);
}

// --- effects ---

void World::transmit(Host& host, Datagram datagram) {
  datagram.number = next_datagram_++;
  datagram.at = now_;
  datagram.from_host = host.position();
  datagram.from = host.address(datagram.to.ip.family);
  checks.datagram(host, datagram);
  host.totals.data_sent += datagram.is_data() && !datagram.is_keepalive() ? 1U : 0U;
  datagram.lost = !network.send(datagram);
  if (options_.keep_log) {
    log.push_back(std::move(datagram));
  }
}

void World::drain_transmits(Host& host) {
  for (const noise::Transmit& train : host.outbox.transmits) {
    checks.train(host, train);
    std::uint32_t at = 0;
    for (std::uint32_t i = 0; i < train.segment_count && at < train.bytes; ++i) {
      const std::uint32_t bytes = std::min(train.stride_bytes, train.bytes - at);
      Datagram datagram;
      datagram.to = train.endpoint.remote;
      datagram.sticky = train.endpoint.source;
      datagram.traffic_class = train.traffic_class;
      const MutableBytes segment = train.slot.bytes().subspan(at, bytes);
      datagram.bytes.assign(segment.begin(), segment.end());
      transmit(host, std::move(datagram));
      at += bytes;
    }
  }
}

void World::drain_delivers(Host& host, Cause cause) {
  const std::string who{host.letter()};
  for (const noise::Deliver& deliver : host.outbox.delivers) {
    for (std::uint32_t i = 0; i < deliver.inner_count; ++i) {
      const noise::Inner& inner = host.outbox.inners[deliver.first_inner + i];
      const Bytes packet = deliver.slot.bytes().subspan(inner.offset_bytes, inner.bytes);
      checks.require(!packet.empty(), who + ": delivered an empty packet");
      if (cause == Cause::tun) {
        host.icmp.emplace_back(packet.begin(), packet.end());
        host.totals.icmp_packets += 1;
        continue;
      }
      checks.require(cause == Cause::udp, who + ": delivered a packet that did not arrive");
      host.totals.delivered += 1;
      const SentInner* const line = checks.inner_delivered(host, packet);
      if (line == nullptr) {
        foreign.emplace_back(packet.begin(), packet.end());
        continue;
      }
      checks.require(owner(host, line->spec.family, line->spec.from) == line->from_host,
                     who + ": delivered a packet from a source that is not its peer's");
      delivered_now_.push_back(line->spec.number);
    }
  }
}

// FNV-1a; bytes, where they go, and what was told.
void World::digest_effects(const noise::Outbox& outbox) {
  const auto mix = [this](Bytes bytes) {
    for (const std::uint8_t byte : bytes) {
      digest = (digest ^ byte) * 0x100'0000'01b3ULL;
    }
  };
  for (const noise::Transmit& train : outbox.transmits) {
    mix(train.slot.bytes().first(train.bytes));
    mix(train.endpoint.remote.ip.bytes);
    digest += train.stride_bytes * 31U + train.traffic_class + train.segment_count;
  }
  for (const noise::Deliver& deliver : outbox.delivers) {
    for (std::uint32_t i = 0; i < deliver.inner_count; ++i) {
      const noise::Inner& inner = outbox.inners[deliver.first_inner + i];
      mix(deliver.slot.bytes().subspan(inner.offset_bytes, inner.bytes));
    }
  }
  for (const noise::Event& event : outbox.events) {
    digest = (digest ^ static_cast<std::uint8_t>(event.kind) ^ event.peer_id) * 31;
  }
}

void World::drain(Host& host, Cause cause) {
  checks.now = now_;
  digest_effects(host.outbox);
  delivered_now_.clear();
  drain_delivers(host, cause);
  drain_transmits(host);
  for (const noise::Event& event : host.outbox.events) {
    host.events.push_back(event.kind);
  }
  host.outbox.clear();
}

// --- time ---

Host* World::host_at(const noise::SocketAddress& address) noexcept {
  for (const auto& host : hosts_) {
    if (host->v4 == address || host->v6 == address) {
      return host.get();
    }
  }
  return nullptr;
}

Instant World::wake_of(const Host& host) const noexcept {
  const Instant at = host.device().next_deadline().at;
  return at == never ? never : std::max(at + deadline_slack, now_);
}

void World::serve_deadlines(Host& host) {
  int calls = 0;
  while (host.device().next_deadline().at <= now_) {
    host.device().on_deadline(now_of(host), host.outbox);
    drain(host, Cause::other);
    if (++calls == deadline_calls_max) {
      checks.fail(std::string{host.letter()} + ": still something due: it spins");
      return;
    }
  }
}

void World::arrivals_due() {
  std::vector<std::vector<Datagram>> waiting(hosts_.size());
  const auto give = [&](std::size_t position) {
    if (!waiting[position].empty()) {
      receive(*hosts_[position], waiting[position], true);
      waiting[position].clear();
    }
  };
  while (network.next_at() <= now_) {
    const Datagram datagram = network.take();
    Host* const host = host_at(datagram.to);
    if (host == nullptr || !host->up) {
      continue;
    }
    if (!join_arrivals) {
      receive(*host, {&datagram, 1});
      continue;
    }
    waiting[host->position()].push_back(datagram);
    if (waiting[host->position()].size() == noise::wild_batch_max) {
      give(host->position());
    }
  }
  for (std::size_t position = 0; position < hosts_.size(); ++position) {
    give(position);
  }
}

void World::run_until(Instant end) {
  const std::size_t failures_before = checks.failures.size();
  while (checks.failures.size() == failures_before) {
    Instant next = network.next_at();
    for (const auto& host : hosts_) {
      next = std::min(next, wake_of(*host));
    }
    if (next > end) {
      break;
    }
    now_ = std::max(now_, next);
    checks.now = now_;
    arrivals_due();
    for (const auto& host : hosts_) {
      if (wake_of(*host) <= now_) {
        serve_deadlines(*host);
      }
    }
  }
  now_ = std::max(now_, end);
  checks.now = now_;
}

void World::settle() {
  for (const auto& host : hosts_) {
    noise::Device& device = host->device();
    checks.balance(*host, noise::CoreTestAccess::staged_count(device));
    checks.require(wake_of(*host) > now_, std::string{host->letter()} + ": a deadline was missed");
  }
}

void World::finish() {
  for (const auto& host : hosts_) {
    set_link(*host, false);
    checks.balance(*host, 0);
    checks.nothing_is_left(*host);
  }
  checks.finish_flows();
}

}  // namespace wgring::sim

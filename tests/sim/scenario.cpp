#include "tests/sim/scenario.hpp"

#include <algorithm>

namespace wgring::sim {
namespace {

using namespace std::chrono_literals;
using noise::Family;

constexpr std::size_t heard_max = 64;
constexpr std::uint16_t moving_number = 200;  // tunnel addresses from here on change owners
constexpr std::uint16_t moving_numbers = 4;
constexpr std::uint16_t unrouted_number = 999;

}  // namespace

const Scenario::Weighted Scenario::actions[] = {
    {500, &Scenario::traffic},       {60, &Scenario::weather},     {20, &Scenario::clog},
    {30, &Scenario::rebind},         {40, &Scenario::toggle_peer}, {15, &Scenario::preshared_key},
    {15, &Scenario::private_key},    {25, &Scenario::endpoint},    {25, &Scenario::keepalive},
    {30, &Scenario::move_prefix},    {30, &Scenario::toggle_link}, {15, &Scenario::mtu},
    {20, &Scenario::wall_clock},     {30, &Scenario::garbage},     {30, &Scenario::replay},
    {30, &Scenario::early_deadline}, {10, &Scenario::entropy},     {10, &Scenario::forget_sources},
    {10, &Scenario::lateness},       {150, &Scenario::mend},
};

Scenario::Scenario(const ScenarioOptions& options)
    : options_(options),
      random_(options.seed * 0x5bd1e995ULL + 1, options.choices),
      world_({.seed = options.seed, .keep_log = false, .runner = options.runner}) {
  may_reorder_ = random_.chance(500);
  world_.network.filter = [this](const Datagram& datagram) {
    if (heard_.size() < heard_max) {
      heard_.push_back(datagram);
    } else if (random_.chance(50)) {
      heard_[random_.below(heard_max)] = datagram;
    }
    return true;
  };
}

// --- the course of a scenario ---

void Scenario::build() {
  const std::size_t hosts = random_.between(2, 5);
  for (std::size_t i = 0; i < hosts; ++i) {
    world_.add_host();
  }
  known_.resize(hosts * hosts);
  preshared_keys_.resize(hosts * hosts);
  for_each_pair([this](Host& on, Host& peer) {
    add(on, peer, random_.chance(800) ? Family::v4 : Family::none);
  });
}

template <typename Visit>
void Scenario::for_each_pair(Visit&& visit) {
  for (std::size_t i = 0; i < world_.host_count(); ++i) {
    for (std::size_t j = 0; j < world_.host_count(); ++j) {
      if (i != j) {
        visit(world_.host(i), world_.host(j));
      }
    }
  }
}

void Scenario::step() {
  std::uint32_t total = 0;
  for (const Weighted& one : actions) {
    total += one.weight;
  }
  std::uint64_t at = random_.below(total);
  for (const Weighted& one : actions) {
    if (at < one.weight) {
      (this->*one.action)();
      break;
    }
    at -= one.weight;
  }
  const std::uint64_t pace = random_.below(1000);
  world_.run_for(pace < 700   ? random_.between(Duration{0}, 200ms)
                 : pace < 950 ? random_.between(200ms, 12s)
                 : pace < 995 ? random_.between(12s, 200s)
                              : random_.between(200s, 1200s));
  world_.settle();
}

ScenarioResult Scenario::run() {
  build();
  for (int i = 0; i < options_.steps && world_.checks.failures.empty(); ++i) {
    step();
  }
  if (world_.checks.failures.empty()) {
    heal();
    expect_recovery();
    expect_silence();
    world_.finish();
  }
  ScenarioResult result{.failures = world_.checks.failures,
                        .datagrams = world_.datagrams_sent(),
                        .elapsed = world_.elapsed(),
                        .digest = world_.digest};
  for (std::size_t i = 0; i < world_.host_count(); ++i) {
    const Host& host = world_.host(i);
    result.delivered += host.totals.delivered;
    result.handshakes += static_cast<std::uint64_t>(
        std::count(host.events.begin(), host.events.end(), noise::EventKind::handshake_completed));
  }
  return result;
}

void Scenario::heal() {
  world_.network.weather = {.delay_min = 1ms, .delay_max = 20ms};
  if (const Instant held_until = world_.network.held_until(); held_until > world_.now()) {
    world_.run_until(held_until);
  }
  world_.deadline_slack = {};
  for (std::size_t i = 0; i < world_.host_count(); ++i) {
    Host& host = world_.host(i);
    host.entropy.failing = false;
    world_.set_mtu(host, noise::mtu_default);
    if (!host.up) {
      world_.set_link(host, true);
    }
  }
  for_each_pair([this](Host& on, Host& peer) {
    if (!knows(on, peer)) {
      remove(on, peer);
    }
    add(on, peer, Family::v4);
  });
}

// Some twenty seconds are for retries and the 15 s timer; after them nothing may be lost.
void Scenario::expect_recovery() {
  constexpr int seconds = 45;
  constexpr int grace = 35;
  std::vector<std::uint32_t> must_arrive;
  for (int second = 0; second < seconds; ++second) {
    for_each_pair([&](Host& from, Host& to) {
      world_.run_for(random_.between(Duration{0}, 20ms));
      InnerSpec spec = random_packet(from, to);
      spec.from = 0;
      spec.to = to.number();
      const std::uint32_t number = world_.send(from, spec);
      if (second >= grace) {
        must_arrive.push_back(number);
      }
    });
    world_.run_for(600ms);
  }
  world_.run_for(1s);
  for (const std::uint32_t number : must_arrive) {
    const SentInner& line = world_.checks.line(number);
    if (!line.delivered) {
      world_.checks.fail("no recovery: " + std::to_string(line.from_host) + " does not reach " +
                         std::to_string(line.to_host));
      return;
    }
  }
}

void Scenario::expect_silence() {
  for_each_pair([this](Host& on, Host& peer) {
    noise::PeerUpdate update;
    update.public_key = peer.public_key();
    update.persistent_keepalive_s = 0;
    world_.apply(on, update);
  });
  world_.run_for(700s);
  const std::uint64_t before = world_.datagrams_sent();
  world_.run_for(3600s);
  world_.checks.require(world_.datagrams_sent() == before, "an idle world is not silent");
  for (std::size_t i = 0; i < world_.host_count(); ++i) {
    world_.checks.require(world_.host(i).device().next_deadline().at == never,
                          "an idle device has a deadline");
    world_.checks.require(world_.host(i).slots_are_home(), "an idle device holds slots");
  }
}

// --- helpers ---

Host& Scenario::other_than(const Host& host) {
  const std::size_t hosts = world_.host_count();
  return world_.host((host.position() + 1 + random_.below(hosts - 1)) % hosts);
}

void Scenario::add(Host& on, const Host& peer, Family endpoint) {
  if (on.public_key() == peer.public_key()) {
    return;
  }
  const std::size_t low = std::min(on.position(), peer.position());
  const std::size_t high = std::max(on.position(), peer.position());
  const auto seconds = random_.chance(100) ? random_.between(1, 30) : 0;
  world_.add_peer(on, peer,
                  {.endpoint = endpoint,
                   .persistent_keepalive_s = static_cast<std::uint16_t>(seconds),
                   .preshared_key = &preshared_keys_[low * world_.host_count() + high]});
  known(on, peer) = peer.public_key();
}

void Scenario::remove(Host& on, const Host& peer) {
  if (auto& key = known(on, peer)) {
    world_.forget_routes(on, peer.position());
    world_.remove_peer(on, *key);
    key.reset();
  }
}

InnerSpec Scenario::random_packet(const Host& from, const Host& to) {
  InnerSpec spec;
  spec.family = random_.chance(500) ? Family::v4 : Family::v6;
  const std::uint32_t least = inner_bytes_min(spec.family);
  spec.bytes = random_.chance(400)
                   ? std::max(from.mtu, least)
                   : static_cast<std::uint32_t>(random_.between(least, std::max(from.mtu, least)));
  spec.to = to.number();
  if (random_.chance(100)) {
    spec.to = static_cast<std::uint16_t>(moving_number + random_.below(moving_numbers));
  } else if (random_.chance(20)) {
    spec.to = unrouted_number;
  }
  if (random_.chance(100)) {
    spec.from = static_cast<std::uint16_t>(moving_number + random_.below(moving_numbers));
  }
  spec.traffic_class = static_cast<std::uint8_t>(random_.chance(300) ? random_.below(256) : 0);
  return spec;
}

// What a TUN with offloads gives for a large send: up to 64 KiB, the last packet often shorter.
void Scenario::send_super(Host& from, const Host& to) {
  InnerSpec spec = random_packet(from, to);
  const std::uint32_t least = inner_bytes_min(spec.family) + udp_overhead_bytes;
  spec.udp = true;
  spec.bytes = std::max(spec.bytes, least);
  const std::uint32_t most = 65'000 / spec.bytes;
  if (most < 2) {
    return;
  }
  const auto count = static_cast<std::uint32_t>(random_.between(2, std::min(most, 128U)));
  world_.send_super(from, spec, count,
                    static_cast<std::uint32_t>(random_.between(least, spec.bytes)));
}

// --- actions ---

void Scenario::traffic() {
  Host& from = any_host();
  if (!from.up) {
    return;
  }
  const Host& to = other_than(from);
  const std::size_t bursts = random_.chance(50) ? 8 : random_.between(1, 3);
  for (std::size_t i = 0; i < bursts; ++i) {
    if (random_.chance(200)) {
      send_super(from, to);
    }
    std::vector<InnerSpec> batch(random_.between(1, noise::plain_batch_max));
    for (InnerSpec& spec : batch) {
      spec = random_packet(from, random_.chance(200) ? other_than(from) : to);
    }
    world_.send_batch(from, batch);
    world_.run_for(random_.between(Duration{0}, 3ms));
  }
}

void Scenario::weather() {
  Weather fresh;
  if (random_.chance(700)) {
    fresh.loss_per_mille = static_cast<std::uint32_t>(random_.below(2) * random_.below(400));
    fresh.duplicate_per_mille = static_cast<std::uint32_t>(random_.below(2) * random_.below(200));
    fresh.corrupt_per_mille = static_cast<std::uint32_t>(random_.below(2) * random_.below(200));
    fresh.congestion_per_mille = static_cast<std::uint32_t>(random_.below(2) * random_.below(500));
  }
  fresh.delay_min = random_.between(Duration{0}, 50ms);
  fresh.delay_max = fresh.delay_min + random_.between(Duration{0}, 100ms);
  fresh.keep_order = !may_reorder_ || random_.chance(300);
  world_.checks.order_is_kept = world_.checks.order_is_kept && fresh.keep_order;
  world_.network.weather = fresh;
  world_.join_arrivals = random_.chance(500);
}

void Scenario::clog() {
  world_.network.weather.clogged_until = world_.now() + random_.between(100ms, 20s);
}

void Scenario::rebind() {
  Host& host = any_host();
  noise::SocketAddress& address = random_.chance(700) ? host.v4 : host.v6;
  address.port = static_cast<std::uint16_t>(random_.between(1024, 65535));
  if (random_.chance(300)) {
    address.ip.bytes[1] = static_cast<std::uint8_t>(random_.next());
  }
}

void Scenario::toggle_peer() {
  Host& on = any_host();
  const Host& peer = other_than(on);
  if (known(on, peer)) {
    remove(on, peer);
  } else {
    add(on, peer, random_.chance(700) ? Family::v4 : Family::v6);
  }
}

void Scenario::preshared_key() {
  Host& on = any_host();
  Host& peer = other_than(on);
  const std::size_t low = std::min(on.position(), peer.position());
  const std::size_t high = std::max(on.position(), peer.position());
  preshared_keys_[low * world_.host_count() + high] =
      random_.chance(300) ? crypto::Secret<32>{} : key_of(options_.seed * 1000 + next_key_++);
  if (knows(on, peer)) {
    add(on, peer, Family::v4);
  }
  if (knows(peer, on) && random_.chance(700)) {
    add(peer, on, Family::v4);
  }
}

void Scenario::private_key() {
  Host& host = any_host();
  world_.set_key(host, random_.chance(100) ? host.device().private_key().clone()
                                           : key_of(options_.seed * 1000 + next_key_++));
  for (std::size_t i = 0; i < world_.host_count(); ++i) {
    Host& other = world_.host(i);
    if (i != host.position() && known(other, host) && random_.chance(700)) {
      remove(other, host);
      add(other, host, Family::v4);
    }
  }
}

void Scenario::endpoint() {
  Host& on = any_host();
  const Host& peer = other_than(on);
  if (knows(on, peer)) {
    world_.set_endpoint(on, peer, random_.chance(600) ? Family::v4 : Family::v6);
  }
}

void Scenario::keepalive() {
  Host& on = any_host();
  const Host& peer = other_than(on);
  if (!knows(on, peer)) {
    return;
  }
  noise::PeerUpdate update;
  update.public_key = peer.public_key();
  update.persistent_keepalive_s =
      static_cast<std::uint16_t>(random_.chance(500) ? 0 : random_.between(1, 40));
  world_.apply(on, update);
}

void Scenario::move_prefix() {
  Host& on = any_host();
  const Host& peer = other_than(on);
  if (!knows(on, peer)) {
    return;
  }
  const auto number = static_cast<std::uint16_t>(moving_number + random_.below(moving_numbers));
  if (random_.chance(250)) {
    world_.disallow(on, peer, number);
  } else {
    world_.allow(on, peer, number);
  }
}

void Scenario::toggle_link() {
  Host& host = any_host();
  world_.set_link(host, !host.up);
}

void Scenario::mtu() {
  static constexpr std::uint32_t sizes[] = {576, 1280, 1419, 1420, 1500, 8920};
  world_.set_mtu(any_host(), sizes[random_.below(std::size(sizes))]);
}

void Scenario::wall_clock() {
  const Duration range = random_.chance(800) ? Duration{10s} : Duration{std::chrono::hours{10'000}};
  any_host().wall_offset += random_.between(-range, range);
}

void Scenario::early_deadline() {
  Host& host = any_host();
  const noise::Deadline before = host.device().next_deadline();
  if (before.at <= world_.now()) {
    return;  // it is not early
  }
  host.device().on_deadline(world_.now_of(host), host.outbox);
  world_.checks.require(host.outbox.empty(), "an early call had effects");
  world_.checks.require(host.device().next_deadline().at == before.at,
                        "an early call moved the deadline");
  host.outbox.clear();
}

void Scenario::garbage() {
  Host& host = any_host();
  if (!host.up) {
    return;
  }
  static constexpr std::size_t sizes[] = {0, 1, 31, 32, 64, 92, 148, 149, 1452, 65507};
  Datagram datagram;
  datagram.genuine = false;
  datagram.from = other_than(host).v4;
  datagram.to = host.v4;
  datagram.bytes.resize(sizes[random_.below(std::size(sizes))]);
  random_.fill(datagram.bytes);
  if (datagram.bytes.size() >= 4 && random_.chance(800)) {
    store_le32(datagram.bytes.data(), static_cast<std::uint32_t>(random_.between(1, 4)));
  }
  const bool is_quiet = host.device().next_deadline().at > world_.now();
  const std::uint64_t before = world_.datagrams_sent();
  world_.receive(host, {&datagram, 1});
  world_.checks.require(!is_quiet || world_.datagrams_sent() == before, "garbage was answered");
}

// What was on the wire before, again; to anybody.
void Scenario::replay() {
  if (heard_.empty()) {
    return;
  }
  Datagram again = heard_[random_.below(heard_.size())];
  if (again.is_data() && !may_reorder_) {
    return;  // the first copy may have been lost or be late
  }
  // A packet whose first copy is gone arrives late by this: order then holds by datagram only.
  world_.checks.order_is_kept = world_.checks.order_is_kept && !again.is_data();
  again.genuine = false;
  if (random_.chance(200)) {
    again.to = any_host().v4;
  }
  if (random_.chance(200)) {
    again.from = any_host().v4;
  }
  world_.network.inject(again, world_.now() + random_.between(Duration{0}, 50ms));
}

void Scenario::forget_sources() { any_host().device().forget_sources(); }

void Scenario::entropy() {
  Host& host = any_host();
  host.entropy.failing = !host.entropy.failing && random_.chance(300);
}

void Scenario::lateness() {
  world_.deadline_slack = random_.chance(500) ? Duration{0} : random_.between(1ms, 3s);
}

void Scenario::mend() {
  Host& one = any_host();
  Host& other = other_than(one);
  for (Host* const host : {&one, &other}) {
    host->entropy.failing = false;
    if (!host->up) {
      world_.set_link(*host, true);
    }
    Host& peer = host == &one ? other : one;
    if (!knows(*host, peer)) {
      remove(*host, peer);
    }
    add(*host, peer, random_.chance(700) ? Family::v4 : Family::v6);
  }
}

}  // namespace wgring::sim

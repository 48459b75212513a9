// RawPair: one host and a raw peer of it; the fixture for what no Device would send.
#pragma once

#include "tests/sim/pair.hpp"
#include "tests/sim/raw_peer.hpp"

namespace wgring::sim {

// `a` is the host under test; `b` stays a stranger unless a test makes it a peer.
class RawPair : public PairOf {
 protected:
  RawPair() : PairOf(3), raw(world, a, 77) {
    world.checks.expects_foreign_inner = true;
    raw.join();
  }

  [[nodiscard]] noise::Peer& raw_at_host() {
    return noise::CoreTestAccess::peer(a.device(), raw.local.public_key());
  }
  // An inner packet from the host's TUN to the raw peer, or to another.
  void send_to_raw(std::uint32_t bytes = 64, std::uint8_t traffic_class = 0) {
    send_to(raw, bytes, traffic_class);
  }
  void send_to(const RawPeer& peer, std::uint32_t bytes = 64, std::uint8_t traffic_class = 0) {
    a.totals.tun_packets += 1;
    world.send_raw(a, make_inner({.number = inner_numbers_max - 2,
                                  .family = noise::Family::v4,
                                  .from = a.number(),
                                  .to = peer.number,
                                  .bytes = bytes,
                                  .traffic_class = traffic_class}));
  }
  // An initiation that nobody can open.
  [[nodiscard]] Datagram junk_from(const noise::SocketAddress& source, bool valid_mac1 = true) {
    Datagram junk = raw.wrap(std::vector<std::uint8_t>(noise::InitiationLayout::size));
    junk.bytes[0] = 1;
    junk.from = source;
    if (valid_mac1) {
      noise::CookieJar jar;
      jar.add_macs(junk.bytes, raw.remote, world.now());
    }
    return junk;
  }
  // What the host sent to the raw peer.
  [[nodiscard]] std::vector<Datagram> to_raw(char letter) const {
    return sent_to(world, raw.address, letter);
  }
  [[nodiscard]] std::uint64_t all_drops() const {
    std::uint64_t total = 0;
    for (const std::uint64_t one : a.device().drops().packets) {
      total += one;
    }
    return total;
  }

  RawPeer raw;
};

}  // namespace wgring::sim

// RawPeer: the other end of a tunnel in a test's own hands. It says what it is told to say, with
// any counter, any timestamp and any inner bytes, so that a Device meets what no Device sends.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "noise/cookie.hpp"
#include "noise/handshake.hpp"
#include "tests/sim/world.hpp"

namespace wgring::sim {

struct RawSession {
  noise::TransportKeys keys;
  std::uint32_t local_index = 0;
  std::uint32_t remote_index = 0;
};

class RawPeer {
 public:
  // `number` makes its key, its outer address and its tunnel address. It is no peer of `host` yet.
  RawPeer(World& world, Host& host, std::uint16_t number);

  // The host's update that makes this a peer: its tunnel addresses and, if wanted, its endpoint.
  void join(bool with_endpoint = true, const crypto::Secret<32>* preshared_key = nullptr);

  // --- messages to the host ---
  [[nodiscard]] Datagram initiation();  // stamped by the host's own wall clock
  [[nodiscard]] Datagram initiation_stamped(const noise::Timestamp& timestamp);
  // The answer to an initiation of the host's; its session becomes ours. nullopt: refused.
  [[nodiscard]] std::optional<Datagram> response(const Datagram& initiation);
  // The host's answer; false: refused.
  [[nodiscard]] bool consume(const Datagram& response);
  [[nodiscard]] Datagram data(std::uint64_t counter, Bytes plain) const;
  [[nodiscard]] Datagram data(Bytes plain) { return data(sending_counter++, plain); }
  [[nodiscard]] Datagram keepalive() { return data({}); }
  // A valid inner packet from our tunnel address to the host's.
  [[nodiscard]] std::vector<std::uint8_t> inner(std::uint32_t bytes = 64) const;

  // --- messages from the host ---
  [[nodiscard]] std::optional<std::vector<std::uint8_t>> open(const Datagram& data) const;
  [[nodiscard]] bool consume_cookie(const Datagram& reply);

  // Gives the datagrams to the host at once; what it sends back is in world.log from `mark` on.
  void give(std::span<const Datagram> datagrams, bool as_trains = false);
  void give(const Datagram& datagram) { give({&datagram, 1}); }
  // Initiation, response, one keepalive: a session that the host sends under.
  void establish();

  // From any bytes, by our address.
  [[nodiscard]] Datagram wrap(std::vector<std::uint8_t> bytes) const;
  // Fresh macs for a message whose bytes a test changed.
  void restamp_macs(Datagram& message);

  noise::LocalIdentity local;
  noise::RemoteIdentity remote;
  noise::Handshake handshake;
  noise::CookieJar cookies;
  noise::SocketAddress address;
  RawSession session;
  std::uint64_t sending_counter = 0;
  SeededEntropy entropy;
  std::uint16_t number;

 private:
  [[nodiscard]] std::uint32_t draw_index();

  World& world_;
  Host& host_;
  std::uint32_t index_ = 0;
  std::uint32_t next_index_;  // no other raw peer of the world has the same
};

// The datagrams of one kind ('I', 'R', 'C', 'D', 'K') that `host` sent to `address`.
[[nodiscard]] std::vector<Datagram> sent_to(const World& world, const noise::SocketAddress& address,
                                            char letter);

}  // namespace wgring::sim

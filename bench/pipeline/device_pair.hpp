// DevicePair: a sender and a receiver with any number of sessions between them. Session n carries
// packets from 10.0.n to 10.1.~n, where n is 16 bits: whichever it is, all checksums stay the same.
#pragma once

#include <optional>

#include "noise/device.hpp"
#include "tests/sim/random.hpp"
#include "tun/memory_source.hpp"
#include "tun/train_pool.hpp"

namespace wgring::bench {

// Makes a packet of session 0 one of session n.
inline void address_to(std::uint8_t* ipv4_packet, std::uint32_t session) noexcept {
  store_be16(ipv4_packet + 14, static_cast<std::uint16_t>(session));
  store_be16(ipv4_packet + 18, static_cast<std::uint16_t>(~session));
}

// Owner: one benchmark. The two share the pools of one shard, so that what the one sends can be
// handed to the other without the copy that the network makes.
class DevicePair {
 public:
  DevicePair(const crypto::Aead& aead, std::uint32_t sessions, noise::JobRunner runner);

  [[nodiscard]] noise::Device& sender() noexcept { return *sender_; }
  [[nodiscard]] noise::Device& receiver() noexcept { return *receiver_; }
  [[nodiscard]] const noise::SocketAddress& sender_address() const noexcept { return a_; }
  [[nodiscard]] const noise::SocketAddress& receiver_address() const noexcept { return b_; }
  // The next turn. Time hardly passes, so that no timer ever comes due and every turn is like the
  // one before.
  [[nodiscard]] Now tick() noexcept;

 private:
  [[nodiscard]] noise::Device open(const crypto::Aead& aead, noise::JobRunner runner);
  void connect(std::uint32_t session);
  void add_peer(noise::Device& device, const crypto::PublicKey& key,
                const noise::SocketAddress& endpoint, std::uint32_t prefix);

  sim::Random random_;
  sim::SeededEntropy entropy_;
  noise::SocketAddress a_;
  noise::SocketAddress b_;
  Now now_;
  noise::Outbox outbox_;
  tun::SystemMemory memory_;
  tun::TrainPools pools_;
  std::optional<noise::Device> sender_;
  std::optional<noise::Device> receiver_;
};

}  // namespace wgring::bench

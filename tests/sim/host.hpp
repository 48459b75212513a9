// Host: one real Device with its pools, its seed, its addresses and its own wall clock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "noise/constants.hpp"
#include "noise/device.hpp"
#include "tests/sim/random.hpp"

namespace wgring::sim {

// Memory for one pool; untouched pages cost nothing.
class PoolMemory {
 public:
  PoolMemory(std::size_t slots, std::size_t slot_bytes)
      : bytes_(std::make_unique_for_overwrite<std::uint8_t[]>(slots * slot_bytes)),
        free_(slots),
        pool_(MutableBytes{bytes_.get(), slots * slot_bytes}, free_, slot_bytes) {}
  [[nodiscard]] SlotPool& pool() noexcept { return pool_; }
  [[nodiscard]] std::size_t taken() const noexcept {
    return pool_.slot_count() - pool_.available();
  }

 private:
  std::unique_ptr<std::uint8_t[]> bytes_;
  std::vector<std::uint32_t> free_;
  SlotPool pool_;
};

struct HostSetup {
  std::size_t position = 0;  // in World::hosts
  std::uint64_t seed = 1;
  std::size_t train_slots = 96;
  std::size_t packet_slots = 8192;
  bool with_key = true;
  std::uint32_t shard = 0;
  std::uint32_t shard_bits = 0;
  noise::JobRunner runner{};
  noise::PrefixWatch prefixes{};
};

struct HostTotals {
  std::uint64_t tun_packets = 0;    // inner packets given to the Device
  std::uint64_t icmp_packets = 0;   // answers to the inner sender
  std::uint64_t data_sent = 0;      // data datagrams that are no keepalives
  std::uint64_t udp_datagrams = 0;  // given to the Device
  std::uint64_t delivered = 0;      // inner packets that came out
};

class Host {
 public:
  Host(const HostSetup& setup, Now now);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  [[nodiscard]] noise::Device& device() noexcept { return *device_; }
  [[nodiscard]] const noise::Device& device() const noexcept { return *device_; }
  [[nodiscard]] std::size_t position() const noexcept { return position_; }
  [[nodiscard]] std::uint16_t number() const noexcept {  // of its first tunnel address
    return static_cast<std::uint16_t>(position_ + 1);
  }
  [[nodiscard]] char letter() const noexcept { return static_cast<char>('a' + position_); }
  [[nodiscard]] const crypto::PublicKey& public_key() const noexcept {
    return device_->public_key();
  }
  [[nodiscard]] SlotPool& trains() noexcept { return trains_.pool(); }
  [[nodiscard]] SlotPool& packets() noexcept { return packets_.pool(); }
  [[nodiscard]] std::size_t slots_taken() const noexcept {
    return trains_.taken() + packets_.taken();
  }
  [[nodiscard]] bool slots_are_home() const noexcept { return slots_taken() == 0; }
  [[nodiscard]] const noise::SocketAddress& address(noise::Family family) const noexcept {
    return family == noise::Family::v6 ? v6 : v4;
  }

  noise::SocketAddress v4;  // where the world reaches it now: behind NAT, the outside of that
  noise::SocketAddress v6;
  Duration wall_offset{};  // its wall clock minus the world's
  std::uint32_t mtu = noise::mtu_default;
  bool up = false;
  HostTotals totals;
  SeededEntropy entropy;
  noise::Outbox outbox;
  std::vector<noise::EventKind> events;
  std::vector<std::vector<std::uint8_t>> icmp;  // answers to the inner sender, whole packets

 private:
  std::size_t position_;
  PoolMemory trains_;
  PoolMemory packets_;
  std::optional<noise::Device> device_;
};

// A private key out of a seed, clamped.
[[nodiscard]] crypto::Secret<32> key_of(std::uint64_t seed) noexcept;
[[nodiscard]] crypto::PublicKey public_of(const crypto::Secret<32>& key) noexcept;

}  // namespace wgring::sim

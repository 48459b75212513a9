// TestPools: the two slot pools of a shard on heap memory.
#pragma once

#include <vector>

#include "base/slot_pool.hpp"
#include "noise/staged_queue.hpp"

namespace wgring::test {

class TestPools {
 public:
  TestPools(std::uint32_t trains, std::uint32_t packets)
      : train_memory_(std::size_t{trains} * train_bytes),
        packet_memory_(std::size_t{packets} * packet_bytes),
        train_free_(trains),
        packet_free_(packets),
        trains_(train_memory_, train_free_, train_bytes),
        packets_(packet_memory_, packet_free_, packet_bytes) {}

  [[nodiscard]] noise::Pools pools() noexcept { return {.trains = &trains_, .packets = &packets_}; }
  [[nodiscard]] SlotPool& trains() noexcept { return trains_; }
  [[nodiscard]] SlotPool& packets() noexcept { return packets_; }

 private:
  static constexpr std::size_t train_bytes = std::size_t{72} * 1024;
  static constexpr std::size_t packet_bytes = 2048;

  std::vector<std::uint8_t> train_memory_;
  std::vector<std::uint8_t> packet_memory_;
  std::vector<std::uint32_t> train_free_;
  std::vector<std::uint32_t> packet_free_;
  SlotPool trains_;
  SlotPool packets_;
};

}  // namespace wgring::test

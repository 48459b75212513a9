// TunReader: the buffers that inner packets are read into, several to a slot.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/slot_pool.hpp"
#include "tun/engine/engine.hpp"
#include "tun/train_pool.hpp"

namespace wgring::tun {

enum class TunNext : std::uint8_t {
  more,     // the batch is full; there may be more
  drained,  // nothing to read
  gone,     // the interface is gone
  fatal,    // the descriptor is unusable
};

// Owner: one engine. Holds its slots for life: packets are loans to the core and never leave.
// A read gets room for the longest packet, because a shorter one would cut it silently; packets
// of usual size then stand close together.
class TunReader {
 public:
  [[nodiscard]] bool open(SlotPool& trains) noexcept;
  void close() noexcept;

  // The packets of the last batch are given up.
  void restart() noexcept;
  // Where the next packet may be read to; empty when the batch's buffers are used up.
  [[nodiscard]] MutableBytes next_room() noexcept;
  // A packet of `bytes` was read into next_room().
  void accept(std::size_t bytes, Inbox& inbox, EngineCounters& counters) noexcept;
  // Reads until the inbox or the buffers are full, or nothing is there.
  [[nodiscard]] TunNext read(int fd, Inbox& inbox, EngineCounters& counters) noexcept;

 private:
  static constexpr std::size_t alignment_bytes = 64;

  std::array<Slot, tun_read_trains> slots_{};
  std::size_t slot_ = 0;
  std::size_t offset_bytes_ = 0;
};

// What an error of a TUN read means; drained for those that pass.
[[nodiscard]] TunNext settle_tun_read(int errno_value, EngineCounters& counters) noexcept;
// A packet for TUN was refused: counts it. True: the interface is gone.
[[nodiscard]] bool settle_tun_write(int errno_value, EngineCounters& counters) noexcept;

}  // namespace wgring::tun

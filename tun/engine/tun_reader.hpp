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
  [[nodiscard]] bool open(SlotPool& trains, VnetMode vnet) noexcept;
  void close() noexcept;

  // The packets of the last batch are given up.
  void restart() noexcept;
  // Where the next packet may be read to; empty when the batch's buffers are used up.
  [[nodiscard]] MutableBytes next_room() noexcept;
  // `bytes` were read into next_room(): a packet, with the device's header where there is one.
  // False: shorter than that header, which no kernel is known to give; counted as an error.
  bool accept(std::size_t bytes, Inbox& inbox, EngineCounters& counters) noexcept;
  // Reads until the inbox or the buffers are full, or nothing is there.
  [[nodiscard]] TunNext read(int fd, Inbox& inbox, EngineCounters& counters) noexcept;

 private:
  static constexpr std::size_t alignment_bytes = 64;
  // Packets begin here, so that their headers are aligned; the device's header ends here.
  static constexpr std::size_t packet_at = 16;

  std::array<Slot, tun_read_trains> slots_{};
  std::size_t slot_ = 0;
  std::size_t offset_bytes_ = 0;
  std::size_t header_bytes_ = 0;
};

// What an error of a TUN read means; drained for those that pass.
[[nodiscard]] TunNext settle_tun_read(int errno_value, EngineCounters& counters) noexcept;
// What the kernel said to a write of `packets`: counts them. True: the interface is gone.
[[nodiscard]] bool settle_tun_write(long result, std::uint32_t packets,
                                    EngineCounters& counters) noexcept;
// Some kernels do not take super-packets that are right (6.10.3 and others): packets alone pass.
[[nodiscard]] bool refuses_joining(long result) noexcept;

}  // namespace wgring::tun

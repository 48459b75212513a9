// BusyMeter: has the shard's thread had hardly any rest lately? Pure: the clocks are the caller's.
#pragma once

#include <cstdint>

#include "base/time.hpp"

namespace wgring::tun {

// Busy begins at nine tenths of a window spent on the processor and ends below one half: with help
// the same load takes less of the thread's time, and must not end the help by that.
class BusyMeter {
 public:
  static constexpr std::uint32_t turns_per_window = 8;

  // Once per turn that moved packets. True: the window is full, measure() is wanted.
  [[nodiscard]] bool count_turn() noexcept {
    turns_ += 1;
    return turns_ >= turns_per_window;
  }
  // `wall` now, and the time that the thread has spent on the processor in all.
  void measure(Instant wall, Duration cpu) noexcept {
    const Duration passed = wall - wall_;
    const Duration used = cpu - cpu_;
    busy_ = busy_ ? used * 2 >= passed : used * 10 >= passed * 9;
    wall_ = wall;
    cpu_ = cpu;
    turns_ = 0;
  }
  [[nodiscard]] bool is_busy() const noexcept { return busy_; }

 private:
  std::uint32_t turns_ = 0;
  Instant wall_{};
  Duration cpu_{};
  bool busy_ = false;
};

}  // namespace wgring::tun

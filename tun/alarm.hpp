// Alarm: a timerfd on CLOCK_BOOTTIME, so that a deadline which passes in suspend is seen on wake.
#pragma once

#include "base/result.hpp"
#include "base/time.hpp"
#include "tun/fd.hpp"

namespace wgring::tun {

// Owner: one engine. Thread: the engine's.
class Alarm {
 public:
  [[nodiscard]] Status open() noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  // The descriptor becomes readable at `deadline` or earlier. The kernel is told only when the
  // deadline came nearer: one that moved away costs a single early wake-up.
  void set(Instant deadline) noexcept;
  // After the descriptor was readable.
  void clear() noexcept;
  // The kernel's timer has fired and was read by other means.
  void forget() noexcept { armed_ = never; }

 private:
  Fd fd_;
  Instant armed_ = never;
};

}  // namespace wgring::tun

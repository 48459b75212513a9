// The five timers of a peer as data (protocol section 14). What they do is in core_timers.cpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/time.hpp"

namespace wgring::noise {

enum class Timer : std::uint8_t {
  retransmit_handshake,
  send_keepalive,
  new_handshake,
  zero_key_material,
  persistent_keepalive,
  count,
};
inline constexpr std::size_t timer_count = static_cast<std::size_t>(Timer::count);

class PeerTimers {
 public:
  PeerTimers() noexcept { cancel_all(); }

  void arm(Timer timer, Instant at) noexcept { at_[index(timer)] = at; }
  void cancel(Timer timer) noexcept { at_[index(timer)] = never; }
  void cancel_all() noexcept { at_.fill(never); }
  [[nodiscard]] bool pending(Timer timer) const noexcept { return at_[index(timer)] != never; }
  [[nodiscard]] Instant at(Timer timer) const noexcept { return at_[index(timer)]; }
  [[nodiscard]] Instant earliest() const noexcept {
    Instant first = never;
    for (const Instant at : at_) {
      first = at < first ? at : first;
    }
    return first;
  }
  // True once when the timer is due; it is no longer pending then.
  [[nodiscard]] bool take_due(Timer timer, Instant now) noexcept {
    if (at_[index(timer)] > now) {
      return false;
    }
    cancel(timer);
    return true;
  }

 private:
  [[nodiscard]] static constexpr std::size_t index(Timer timer) noexcept {
    return static_cast<std::size_t>(timer);
  }
  std::array<Instant, timer_count> at_;
};

}  // namespace wgring::noise

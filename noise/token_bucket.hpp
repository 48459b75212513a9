// TokenBucket: so many in a row, so many per second in the long run.
#pragma once

#include <algorithm>

#include "base/time.hpp"

namespace wgring::noise {

// Owner: one thread. `now` never goes back. Starts full.
class TokenBucket {
 public:
  constexpr TokenBucket(std::int64_t per_second, std::int64_t burst) noexcept
      : cost_(Duration{std::chrono::seconds{1}} / per_second), cap_(cost_ * burst), credit_(cap_) {}

  [[nodiscard]] bool take(Instant now) noexcept {
    credit_ = std::min(cap_, credit_ + std::min(cap_, now - last_));
    last_ = now;
    if (credit_ < cost_) {
      return false;
    }
    credit_ -= cost_;
    return true;
  }

 private:
  Duration cost_;
  Duration cap_;
  Duration credit_;
  Instant last_{};
};

}  // namespace wgring::noise

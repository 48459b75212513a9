// JoinGate: after the kernel has refused a super-packet none is made for a while.
#pragma once

#include <algorithm>

#include "base/time.hpp"
#include "tun/offload/join.hpp"

namespace wgring::tun {

// Owner: one engine. Each pause is twice as long as the last, for taking a run apart again may put
// its packets behind later ones.
class JoinGate {
 public:
  static constexpr Duration pause_min = std::chrono::seconds{60};
  static constexpr Duration pause_max = std::chrono::hours{1};

  void refused(Instant now) noexcept {
    if (now < opens_at_) {
      return;  // planned before the pause
    }
    opens_at_ = now + pause_;
    pause_ = std::min(2 * pause_, pause_max);
  }
  [[nodiscard]] bool shut() const noexcept { return opens_at_ != Instant{}; }
  // `wanted`, or nothing while the pause lasts. Ask only when shut(): it costs a look at a clock.
  [[nodiscard]] JoinPolicy policy(JoinPolicy wanted, Instant now) noexcept {
    if (now < opens_at_) {
      return {};
    }
    opens_at_ = {};
    return wanted;
  }

 private:
  Instant opens_at_{};
  Duration pause_ = pause_min;
};

}  // namespace wgring::tun

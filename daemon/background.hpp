// Going to the background: the starter's process ends when the daemon is ready, or could not be.
#pragma once

#include <span>
#include <string_view>

#include "tun/fd.hpp"

namespace wgring::daemon {

// Owner: main(). Order: made before any thread and any key exists. In the foreground succeed() has
// no effect and fail_with() prints.
class Readiness {
 public:
  [[nodiscard]] static Readiness foreground() noexcept { return Readiness(tun::Fd()); }
  // Returns in a new process: own session, in /, standard streams on /dev/null, and of what was
  // inherited only `kept`. The calling process waits in here and exits: 0 when succeed() was
  // called, 1 with the line otherwise.
  [[nodiscard]] static Readiness background(std::span<const int> kept);

  void succeed() noexcept;
  void fail_with(std::string_view line) noexcept;

 private:
  explicit Readiness(tun::Fd pipe) noexcept : pipe_(std::move(pipe)) {}
  tun::Fd pipe_;  // to the waiting process
};

}  // namespace wgring::daemon

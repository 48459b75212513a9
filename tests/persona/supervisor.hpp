// The process that is asked about calls. It is nobody's child, so what it watches may fork, go to
// the background and end as if it were not there; it ends after the last process of the filter.
#pragma once

#include "tests/persona/judge.hpp"
#include "tests/persona/target.hpp"

namespace wgring::persona {

// Order: made before the filter is loaded, which holds for children; attach() after it.
// Errors leave as std::system_error.
class Supervisor {
 public:
  [[nodiscard]] static Supervisor start(Judge judge);
  // Returns when the supervisor listens. `listener` is ours: it has its own copy.
  void attach(int listener);

 private:
  Supervisor(OwnFd to, OwnFd from) noexcept : to_(std::move(to)), from_(std::move(from)) {}
  OwnFd to_;    // the number of the listener goes there
  OwnFd from_;  // one byte comes from there
};

}  // namespace wgring::persona

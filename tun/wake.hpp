// Wake: an eventfd. Any thread makes it readable; its reader clears it.
#pragma once

#include "base/result.hpp"
#include "tun/fd.hpp"

namespace wgring::tun {

class Wake {
 public:
  [[nodiscard]] Status open() noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  // Thread: any, also from a signal handler. What was written before it is seen by the woken.
  void wake() const noexcept;
  void clear() const noexcept { clear(fd_.get()); }
  static void clear(int fd) noexcept;

 private:
  Fd fd_;
};

}  // namespace wgring::tun

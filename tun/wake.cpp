#include "tun/wake.hpp"

#include <cstdint>

#include <errno.h>
#include <sys/eventfd.h>

#include "base/assert.hpp"

namespace wgring::tun {

Status Wake::open() noexcept {
  fd_ = Fd{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  if (!fd_) {
    return fail(errno, "eventfd");
  }
  return {};
}

void Wake::wake() const noexcept {
  const std::uint64_t one = 1;
  // EAGAIN: the counter is full, so it is readable already.
  while (::write(fd_.get(), &one, sizeof one) < 0 && errno != EAGAIN) {
    WG_ASSERT(errno == EINTR);
  }
}

void Wake::clear(int fd) noexcept {
  std::uint64_t count = 0;
  while (::read(fd, &count, sizeof count) < 0 && errno != EAGAIN) {
    WG_ASSERT(errno == EINTR);
  }
}

}  // namespace wgring::tun

// The system calls of the packet path that both engines make, in one place: where a test of
// faults would put its hand. Each returns what the kernel said, or a negative errno.
#pragma once

#include <cstddef>
#include <span>

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bytes.hpp"

namespace wgring::tun {

[[nodiscard]] inline int receive_messages(int fd, std::span<mmsghdr> messages) noexcept {
  const int count = ::recvmmsg(fd, messages.data(), static_cast<unsigned>(messages.size()),
                               MSG_DONTWAIT, nullptr);
  return count >= 0 ? count : -errno;
}

[[nodiscard]] inline int send_messages(int fd, std::span<mmsghdr> messages) noexcept {
  const int count = ::sendmmsg(fd, messages.data(), static_cast<unsigned>(messages.size()),
                               MSG_DONTWAIT | MSG_NOSIGNAL);
  return count >= 0 ? count : -errno;
}

// `fd` is non-blocking.
[[nodiscard]] inline long read_packet(int fd, MutableBytes to) noexcept {
  const ssize_t bytes = ::read(fd, to.data(), to.size());
  return bytes >= 0 ? bytes : -errno;
}

// Again where a signal came between: a packet is not lost by that.
[[nodiscard]] inline long write_packet(int fd, std::span<const iovec> pieces) noexcept {
  ssize_t bytes = 0;
  do {
    bytes = pieces.size() == 1 ? ::write(fd, pieces[0].iov_base, pieces[0].iov_len)
                               : ::writev(fd, pieces.data(), static_cast<int>(pieces.size()));
  } while (bytes < 0 && errno == EINTR);
  return bytes >= 0 ? bytes : -errno;
}

}  // namespace wgring::tun

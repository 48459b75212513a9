// The system calls of the packet path that both engines make, in one place: where a test of
// faults would put its hand. Each returns what the kernel said, or a negative errno.
#pragma once

#include <cstddef>
#include <span>

#include <errno.h>
#include <sys/socket.h>
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

[[nodiscard]] inline long write_packet(int fd, Bytes from) noexcept {
  const ssize_t bytes = ::write(fd, from.data(), from.size());
  return bytes >= 0 ? bytes : -errno;
}

}  // namespace wgring::tun

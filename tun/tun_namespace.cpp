#include "tun/tun_namespace.hpp"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace wgring::tun {
namespace {

Fd open_plain_socket() noexcept {
  Fd fd{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  // Link requests go to any family.
  return fd ? std::move(fd) : Fd{::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
}

bool same_file(int a, int b) noexcept {
  struct stat of_a{};
  struct stat of_b{};
  return ::fstat(a, &of_a) == 0 && ::fstat(b, &of_b) == 0 && of_a.st_ino == of_b.st_ino &&
         of_a.st_dev == of_b.st_dev;
}

struct Visit {
  int namespace_fd;
  Fd socket;
};

// A thread of its own, because setns() moves the calling thread for good.
void* visit(void* argument) noexcept {
  auto* const at = static_cast<Visit*>(argument);
  if (::setns(at->namespace_fd, CLONE_NEWNET) == 0) {
    at->socket = open_plain_socket();
  }
  return nullptr;
}

}  // namespace

Result<Fd> open_link_socket(int tun_fd) noexcept {
  Fd here = open_plain_socket();
  if (!here) {
    return fail(errno, "socket: for link requests");
  }
  const Fd there{::ioctl(tun_fd, TUNGETDEVNETNS)};
  if (!there) {
    if (errno == EBADFD) {
      return fail(ENODEV, "ioctl(TUNGETDEVNETNS): the interface is gone");
    }
    return here;
  }
  const Fd own{::ioctl(here.get(), SIOCGSKNS)};
  if (!own || same_file(own.get(), there.get())) {
    return here;
  }
  Visit at{.namespace_fd = there.get(), .socket = {}};
  pthread_t thread{};
  if (const int error = ::pthread_create(&thread, nullptr, visit, &at); error != 0) {
    return fail(error, "pthread_create: to visit the interface's namespace");
  }
  static_cast<void>(::pthread_join(thread, nullptr));
  if (!at.socket) {
    return fail(EXDEV, "setns: the interface was moved to a namespace this process may not enter");
  }
  return std::move(at.socket);
}

}  // namespace wgring::tun

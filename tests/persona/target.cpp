#include "tests/persona/target.hpp"

#include <charconv>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

namespace wgring::persona {
namespace {

constexpr unsigned misc_major = 10;
constexpr unsigned tun_minor = 200;

std::string proc_path(pid_t thread, std::string_view rest) {
  return "/proc/" + std::to_string(thread) + "/" + std::string(rest);
}

iovec remote(std::uint64_t address, std::size_t bytes) {
  // An address of another process: never followed here.
  return {.iov_base = reinterpret_cast<void*>(address), .iov_len = bytes};
}

}  // namespace

OwnFd::~OwnFd() { reset(); }

int OwnFd::release() noexcept {
  const int fd = fd_;
  fd_ = -1;
  return fd;
}

void OwnFd::reset() noexcept {
  if (fd_ >= 0) {
    ::close(release());
  }
}

bool Target::read(std::uint64_t address, void* to, std::size_t bytes) const {
  const iovec here{.iov_base = to, .iov_len = bytes};
  const iovec there = remote(address, bytes);
  return bytes == 0 ||
         ::process_vm_readv(thread_, &here, 1, &there, 1, 0) == static_cast<ssize_t>(bytes);
}

bool Target::write(std::uint64_t address, const void* from, std::size_t bytes) const {
  const iovec here{.iov_base = const_cast<void*>(from), .iov_len = bytes};
  const iovec there = remote(address, bytes);
  return bytes == 0 ||
         ::process_vm_writev(thread_, &here, 1, &there, 1, 0) == static_cast<ssize_t>(bytes);
}

std::optional<std::vector<std::byte>> Target::read(std::uint64_t address, std::size_t bytes) const {
  return read_array<std::byte>(address, bytes);
}

OwnFd Target::take(int descriptor) const {
  const OwnFd process_fd(static_cast<int>(::syscall(SYS_pidfd_open, process(), 0)));
  if (!process_fd) {
    return OwnFd(-1);
  }
  return OwnFd(static_cast<int>(::syscall(SYS_pidfd_getfd, process_fd.get(), descriptor, 0)));
}

bool Target::is_tun(int descriptor) const {
  // Not by its path: the file may have been opened in another mount namespace.
  struct stat found{};
  const std::string path = proc_path(thread_, "fd/" + std::to_string(descriptor));
  return ::stat(path.c_str(), &found) == 0 && S_ISCHR(found.st_mode) &&
         found.st_rdev == ::makedev(misc_major, tun_minor);
}

pid_t Target::process() const {
  std::ifstream status(proc_path(thread_, "status"));
  constexpr std::string_view label = "Tgid:\t";
  pid_t found = -1;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(label)) {
      std::from_chars(line.data() + label.size(), line.data() + line.size(), found);
      break;
    }
  }
  return found;
}

}  // namespace wgring::persona

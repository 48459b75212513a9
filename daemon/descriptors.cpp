#include "daemon/descriptors.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <memory>
#include <string_view>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "daemon/setup_error.hpp"
#include "tun/fd.hpp"

namespace wgring::daemon {
namespace {

// False: this kernel (before 5.9) or its filter of system calls knows no close_range().
bool close_ranges_between(std::span<const int> kept_in_order) noexcept {
  unsigned first = STDERR_FILENO + 1;
  for (const int fd : kept_in_order) {
    const auto number = static_cast<unsigned>(fd);
    if (number > first && ::close_range(first, number - 1, 0) != 0) {
      return false;
    }
    first = number + 1;
  }
  return ::close_range(first, UINT_MAX, 0) == 0;
}

struct DirectoryCloser {
  void operator()(DIR* directory) const noexcept { static_cast<void>(::closedir(directory)); }
};

// The numbers first: the directory itself is one of them, and is not read while they go.
std::vector<int> open_descriptors() {
  std::vector<int> found;
  const std::unique_ptr<DIR, DirectoryCloser> directory(::opendir("/proc/self/fd"));
  if (directory == nullptr) {
    fail_setup("cannot list the inherited descriptors in /proc/self/fd: {}", errno_text(errno));
  }
  while (const dirent* const entry = ::readdir(directory.get())) {
    const std::string_view name = static_cast<const char*>(entry->d_name);
    int fd = -1;
    if (std::from_chars(name.data(), name.data() + name.size(), fd).ec == std::errc{} &&
        fd != ::dirfd(directory.get())) {
      found.push_back(fd);
    }
  }
  return found;
}

}  // namespace

void ensure_standard_streams() {
  // In this order: open() takes the lowest number that is free.
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (!is_open(stream) && ::open("/dev/null", O_RDWR) != stream) {
      fail_setup("a standard stream is closed, and cannot be /dev/null: {}", errno_text(errno));
    }
  }
}

bool is_open(int fd) noexcept { return ::fcntl(fd, F_GETFD) >= 0; }

void close_all_but(std::span<const int> kept) {
  std::vector<int> stay;
  std::ranges::copy_if(kept, std::back_inserter(stay), [](int fd) { return fd > STDERR_FILENO; });
  std::ranges::sort(stay);
  const auto repeated = std::ranges::unique(stay);
  stay.erase(repeated.begin(), repeated.end());
  if (close_ranges_between(stay)) {
    return;
  }
  for (const int fd : open_descriptors()) {
    if (fd > STDERR_FILENO && !std::ranges::binary_search(stay, fd)) {
      static_cast<void>(::close(fd));
    }
  }
}

}  // namespace wgring::daemon

// A process under the filter, seen from its supervisor: its memory and its descriptors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <sys/types.h>

namespace wgring::persona {

// Owner: closes at its end.
class OwnFd {
 public:
  explicit OwnFd(int fd) noexcept : fd_(fd) {}
  OwnFd(OwnFd&& other) noexcept : fd_(other.release()) {}
  OwnFd& operator=(OwnFd&&) = delete;
  ~OwnFd();

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] int release() noexcept;
  void reset() noexcept;
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_;
};

class Target {
 public:
  explicit Target(pid_t thread) noexcept : thread_(thread) {}

  // All of it or nothing: false when a part is not mapped there.
  [[nodiscard]] bool read(std::uint64_t address, void* to, std::size_t bytes) const;
  [[nodiscard]] bool write(std::uint64_t address, const void* from, std::size_t bytes) const;
  [[nodiscard]] std::optional<std::vector<std::byte>> read(std::uint64_t address,
                                                           std::size_t bytes) const;
  template <typename Plain>
  [[nodiscard]] std::optional<std::vector<Plain>> read_array(std::uint64_t address,
                                                             std::size_t count) const {
    std::vector<Plain> items(count);
    if (!read(address, items.data(), count * sizeof(Plain))) {
      return std::nullopt;
    }
    return items;
  }

  // The open file behind a descriptor of the process, as a descriptor of ours.
  [[nodiscard]] OwnFd take(int descriptor) const;
  [[nodiscard]] bool is_tun(int descriptor) const;

 private:
  [[nodiscard]] pid_t process() const;

  pid_t thread_;
};

}  // namespace wgring::persona

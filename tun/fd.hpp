// Fd: the one owner of a file descriptor.
#pragma once

#include <utility>

#include <unistd.h>

namespace wgring::tun {

// Owner: whoever holds it; closes on destruction.
class Fd {
 public:
  Fd() noexcept = default;
  explicit Fd(int number) noexcept : number_(number) {}
  Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      number_ = std::exchange(other.number_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] explicit operator bool() const noexcept { return number_ >= 0; }
  [[nodiscard]] int get() const noexcept { return number_; }
  [[nodiscard]] int release() noexcept { return std::exchange(number_, -1); }
  void reset() noexcept {
    if (number_ >= 0) {
      // EINTR from close() still closes on Linux; there is nothing to do about other errors.
      static_cast<void>(::close(std::exchange(number_, -1)));
    }
  }

 private:
  int number_ = -1;
};

}  // namespace wgring::tun

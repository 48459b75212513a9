// SeededEntropy: an Entropy of a seed, which can be made to fail or to repeat itself.
#pragma once

#include <cstdint>
#include <random>

#include "noise/entropy.hpp"

namespace wgring::test {

class SeededEntropy {
 public:
  enum class Mode : std::uint8_t { good, failing, constant };

  explicit SeededEntropy(std::uint64_t seed, Mode mode = Mode::good) : random_(seed), mode_(mode) {}

  [[nodiscard]] noise::Entropy entropy() noexcept { return {.context = this, .fill = &fill}; }
  void set_mode(Mode mode) noexcept { mode_ = mode; }

 private:
  static bool fill(void* context, MutableBytes to) noexcept {
    auto& self = *static_cast<SeededEntropy*>(context);
    if (self.mode_ == Mode::failing) {
      return false;
    }
    for (std::uint8_t& byte : to) {
      byte = self.mode_ == Mode::constant ? 0xa5 : static_cast<std::uint8_t>(self.random_());
    }
    return true;
  }

  std::mt19937_64 random_;
  Mode mode_;
};

}  // namespace wgring::test

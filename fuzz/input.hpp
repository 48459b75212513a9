// Input: the bytes of one run, taken from the front; zeros when there are none left.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/bytes.hpp"

namespace wgring::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) noexcept : left_(data, size) {}

  [[nodiscard]] bool empty() const noexcept { return left_.empty(); }
  // Two for each number, so that numbers of one input do not move when one of them grows.
  std::uint16_t number() noexcept {
    const Bytes taken = take(2);
    return static_cast<std::uint16_t>((taken.empty() ? 0 : taken[0]) |
                                      (taken.size() < 2 ? 0 : taken[1] << 8U));
  }
  std::uint8_t byte() noexcept {
    const Bytes taken = take(1);
    return taken.empty() ? 0 : taken[0];
  }
  // At most; a loan of the run.
  Bytes take(std::size_t bytes) noexcept {
    const Bytes taken = left_.first(std::min(bytes, left_.size()));
    left_ = left_.subspan(taken.size());
    return taken;
  }

 private:
  Bytes left_;
};

// One record after the other, while there is input and they are not too many.
template <typename Stage>
void run_records(Input& input, Stage& stage, int records_max) {
  for (int i = 0; i < records_max && !input.empty(); ++i) {
    stage.record(input);
  }
}

}  // namespace wgring::fuzz

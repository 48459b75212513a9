// Image: the writable memory of this very process, searched for secrets that a test knows.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"

namespace wgring::test {

// A secret to look for. It is kept in disguise, or the search would always find its own copy.
class Needle {
 public:
  explicit Needle(Bytes secret) noexcept;
  // Of bytes that are in disguise already: of a secret that was never written down.
  [[nodiscard]] static Needle of_disguised(Bytes disguised) noexcept;
  // What was one byte of the disguise, told back.
  static constexpr std::uint8_t disguise = 0xa5;
  static constexpr std::size_t bytes_max = 64;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] const ByteArray<bytes_max>& disguised() const noexcept { return disguised_; }

 private:
  Needle() noexcept = default;

  ByteArray<bytes_max> disguised_{};
  std::size_t size_ = 0;
};

// Where a needle is, as "address in mapping".
using Places = std::vector<std::string>;

// The places of each needle, in the heap, in stacks, data, and whatever else this process mapped
// and may write to. Pages that were never touched are left alone. No other thread runs meanwhile.
[[nodiscard]] std::vector<Places> places_in_image(std::span<const Needle> needles);
[[nodiscard]] inline Places places_in_image(const Needle& needle) {
  return places_in_image(std::span{&needle, 1}).front();
}

}  // namespace wgring::test

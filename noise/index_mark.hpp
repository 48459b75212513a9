// IndexMark: the top byte of our receiver indices, by which a filter in front of the sockets knows
// them (docs/adr/0013).
#pragma once

#include <bit>
#include <cstdint>
#include <optional>

#include "base/bytes.hpp"
#include "noise/entropy.hpp"

namespace wgring::noise {

// What is below the mark, as it stands on the wire, is multiplied by a secret, and another one is
// added. Who guesses an index finds its mark once in 256; who sees one may send it again and again,
// and is where everybody was without. Nothing but the cost of what is forged depends on it.
class IndexMark {
 public:
  static constexpr unsigned bits = 8;

  // nullopt: no entropy.
  [[nodiscard]] static std::optional<IndexMark> draw(const Entropy& entropy) noexcept {
    ByteArray<8> random{};
    if (!entropy(random)) {
      return std::nullopt;
    }
    return IndexMark{load_le32(&random[0]), load_le32(&random[4])};
  }
  // An even factor would lose bits of what it multiplies. Without the addend 0 would be marked.
  constexpr IndexMark(std::uint32_t factor, std::uint32_t addend) noexcept
      : factor_(factor | 1U), addend_(addend) {}

  // The program of the filter computes the same.
  [[nodiscard]] constexpr std::uint32_t factor() const noexcept { return factor_; }
  [[nodiscard]] constexpr std::uint32_t addend() const noexcept { return addend_; }

  // `index` with its mark in place of its top byte.
  [[nodiscard]] constexpr std::uint32_t put_on(std::uint32_t index) const noexcept {
    return (index & below) | mark_of(index) << shift;
  }
  [[nodiscard]] constexpr bool is_on(std::uint32_t index) const noexcept {
    return index >> shift == mark_of(index);
  }

 private:
  static constexpr unsigned shift = 32 - bits;
  static constexpr std::uint32_t below = (std::uint32_t{1} << shift) - 1;

  // Of the three bytes on the wire in front of the mark, read as a big-endian number.
  [[nodiscard]] constexpr std::uint32_t mark_of(std::uint32_t index) const noexcept {
    const std::uint32_t from_wire = std::byteswap(index) >> bits;
    return (from_wire * factor_ + addend_) >> shift;
  }

  std::uint32_t factor_;
  std::uint32_t addend_;
};

}  // namespace wgring::noise

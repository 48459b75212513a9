// The internet checksum (RFC 1071). Sums are kept in native order: a one's complement sum does not
// care, as long as what is read and what is stored are of one order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.hpp"

namespace wgring {

// A partial sum, not folded. Pieces are added in order; only the last may have an odd length.
class InternetSum {
 public:
  InternetSum() noexcept = default;

  InternetSum& add(Bytes bytes) noexcept {
    const std::uint8_t* at = bytes.data();
    std::size_t left = bytes.size();
    Lanes whole{};  // wraps; the upper halves say by how much
    Lanes upper{};
    for (; left >= 32; left -= 32, at += 32) {
      const Lanes first = detail::load<Lanes>(at);
      const Lanes second = detail::load<Lanes>(at + 16);
      whole += first + second;
      upper += (first >> 32U) + (second >> 32U);
    }
    const Lanes lower = whole - (upper << 32U);
    sum_ += folded_once(lower[0]) + folded_once(lower[1]) + folded_once(upper[0]) +
            folded_once(upper[1]);
    for (; left >= 4; left -= 4, at += 4) {
      sum_ += detail::load<std::uint32_t>(at);
    }
    if (left >= 2) {
      sum_ += detail::load<std::uint16_t>(at);
      left -= 2;
      at += 2;
    }
    if (left == 1) {
      const ByteArray<2> last{*at, 0};
      sum_ += detail::load<std::uint16_t>(last.data());
    }
    return *this;
  }
  // A 16-bit number as it would stand in the packet.
  InternetSum& add_be16(std::uint16_t value) noexcept {
    sum_ += detail::ordered<std::endian::big>(value);
    return *this;
  }

  // The sum in 16 bits, in native order. 0xffff: what was added holds a checksum that is right.
  [[nodiscard]] std::uint16_t folded() const noexcept {
    std::uint64_t sum = folded_once(sum_);
    sum = (sum & 0xffffU) + (sum >> 16U);
    sum = (sum & 0xffffU) + (sum >> 16U);
    sum = (sum & 0xffffU) + (sum >> 16U);
    return static_cast<std::uint16_t>(sum);
  }
  // Writes the checksum (the complement) at `field`.
  void store(std::uint8_t* field) const noexcept {
    detail::store(field, static_cast<std::uint16_t>(~folded()));
  }
  // Writes the sum itself: what a pseudo header leaves for an offload to finish.
  void store_partial(std::uint8_t* field) const noexcept { detail::store(field, folded()); }

 private:
  using Lanes [[gnu::vector_size(16)]] = std::uint64_t;

  [[nodiscard]] static std::uint64_t folded_once(std::uint64_t sum) noexcept {
    return (sum & 0xffff'ffffU) + (sum >> 32U);
  }

  std::uint64_t sum_ = 0;
};

}  // namespace wgring

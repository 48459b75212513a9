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
    std::uint64_t even = 0;
    std::uint64_t odd = 0;
    for (; left >= 16; left -= 16, at += 16) {
      const auto first = detail::load<std::uint64_t>(at);
      const auto second = detail::load<std::uint64_t>(at + 8);
      even += (first & 0xffff'ffffU) + (second & 0xffff'ffffU);
      odd += (first >> 32U) + (second >> 32U);
    }
    sum_ += (even & 0xffff'ffffU) + (even >> 32U) + (odd & 0xffff'ffffU) + (odd >> 32U);
    for (; left >= 2; left -= 2, at += 2) {
      sum_ += detail::load<std::uint16_t>(at);
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

  // One's complement of the folded sum, in native order: for store().
  [[nodiscard]] std::uint16_t folded() const noexcept {
    std::uint64_t sum = (sum_ & 0xffff'ffffU) + (sum_ >> 32U);
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
  std::uint64_t sum_ = 0;
};

}  // namespace wgring

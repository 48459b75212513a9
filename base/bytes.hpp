// Byte spans and fixed-endian loads and stores. Everything is a loan: a span never owns.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/assert.hpp"

namespace wgring {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;
template <std::size_t N>
using ByteArray = std::array<std::uint8_t, N>;
template <std::size_t N>
using BytesOf = std::span<const std::uint8_t, N>;
template <std::size_t N>
using MutableBytesOf = std::span<std::uint8_t, N>;

// Copies all of `from` to the start of `to`; `to` must be large enough; the two may not overlap.
inline void copy_bytes(MutableBytes to, Bytes from) noexcept {
  WG_ASSERT(to.size() >= from.size());
  if (!from.empty()) {
    std::memcpy(to.data(), from.data(), from.size());
  }
}

inline void fill_zero(MutableBytes to) noexcept {
  if (!to.empty()) {
    std::memset(to.data(), 0, to.size());
  }
}

// Compares public bytes. Secrets are compared by crypto::ct_equal only.
[[nodiscard]] inline bool equal_public(Bytes a, Bytes b) noexcept {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

// A fixed-extent view of `size` bytes at `offset`; the range is asserted.
template <std::size_t Size>
[[nodiscard]] inline BytesOf<Size> fixed(Bytes from, std::size_t offset = 0) noexcept {
  WG_ASSERT(offset <= from.size() && from.size() - offset >= Size);
  return BytesOf<Size>{from.data() + offset, Size};
}
template <std::size_t Size>
[[nodiscard]] inline MutableBytesOf<Size> fixed(MutableBytes from,
                                                std::size_t offset = 0) noexcept {
  WG_ASSERT(offset <= from.size() && from.size() - offset >= Size);
  return MutableBytesOf<Size>{from.data() + offset, Size};
}

namespace detail {

template <typename T>
[[nodiscard]] inline T load(const std::uint8_t* from) noexcept {
  T value{};
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <typename T>
inline void store(std::uint8_t* to, T value) noexcept {
  std::memcpy(to, &value, sizeof value);
}
// Unaligned-safe conversion between host order and `Order`.
template <std::endian Order, typename T>
[[nodiscard]] constexpr T ordered(T value) noexcept {
  if constexpr (Order == std::endian::native) {
    return value;
  } else {
    return std::byteswap(value);
  }
}

}  // namespace detail

// The caller has checked that sizeof(integer) bytes are there.
[[nodiscard]] inline std::uint32_t load_le32(const std::uint8_t* from) noexcept {
  return detail::ordered<std::endian::little>(detail::load<std::uint32_t>(from));
}
[[nodiscard]] inline std::uint64_t load_le64(const std::uint8_t* from) noexcept {
  return detail::ordered<std::endian::little>(detail::load<std::uint64_t>(from));
}
[[nodiscard]] inline std::uint16_t load_be16(const std::uint8_t* from) noexcept {
  return detail::ordered<std::endian::big>(detail::load<std::uint16_t>(from));
}
[[nodiscard]] inline std::uint32_t load_be32(const std::uint8_t* from) noexcept {
  return detail::ordered<std::endian::big>(detail::load<std::uint32_t>(from));
}
[[nodiscard]] inline std::uint64_t load_be64(const std::uint8_t* from) noexcept {
  return detail::ordered<std::endian::big>(detail::load<std::uint64_t>(from));
}
inline void store_le32(std::uint8_t* to, std::uint32_t value) noexcept {
  detail::store(to, detail::ordered<std::endian::little>(value));
}
inline void store_le64(std::uint8_t* to, std::uint64_t value) noexcept {
  detail::store(to, detail::ordered<std::endian::little>(value));
}
inline void store_be16(std::uint8_t* to, std::uint16_t value) noexcept {
  detail::store(to, detail::ordered<std::endian::big>(value));
}
inline void store_be32(std::uint8_t* to, std::uint32_t value) noexcept {
  detail::store(to, detail::ordered<std::endian::big>(value));
}
inline void store_be64(std::uint8_t* to, std::uint64_t value) noexcept {
  detail::store(to, detail::ordered<std::endian::big>(value));
}

}  // namespace wgring

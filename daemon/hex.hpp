// Keys as 64 hex digits. Time and memory access do not depend on the digits: they may be secret.
#pragma once

#include <span>
#include <string_view>

#include "base/bytes.hpp"

namespace wgring::daemon {

inline constexpr std::size_t key_digits = 64;

// False: not exactly 64 hex digits of either case; `key` is all zero then.
[[nodiscard]] bool decode_key(std::string_view digits, MutableBytesOf<32> key) noexcept;
void encode_key(BytesOf<32> key, std::span<char, key_digits> digits) noexcept;

}  // namespace wgring::daemon

// SipHash-2-4: keyed hashing of table keys that an adversary may choose. libsodium.
#pragma once

#include "base/bytes.hpp"

namespace wgring::crypto {

[[nodiscard]] std::uint64_t siphash(BytesOf<16> key, Bytes bytes) noexcept;

}  // namespace wgring::crypto

// XChaCha20-Poly1305, for cookie replies only. libsodium.
#pragma once

#include "base/bytes.hpp"

namespace wgring::crypto {

// In place or disjoint; sealed.size() == plain.size() + tag_bytes is asserted.
void xaead_seal(MutableBytes sealed, Bytes plain, Bytes aad, BytesOf<32> key,
                BytesOf<24> nonce) noexcept;
// On false `plain` is zeroed or untouched.
[[nodiscard]] bool xaead_open(MutableBytes plain, Bytes sealed, Bytes aad, BytesOf<32> key,
                              BytesOf<24> nonce) noexcept;

}  // namespace wgring::crypto

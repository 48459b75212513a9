// X25519 (RFC 7748), BoringSSL.
#pragma once

#include "base/bytes.hpp"

namespace wgring::crypto {

using PublicKey = ByteArray<32>;

// What users are shown and what is stored is the clamped key (protocol 1).
void clamp(MutableBytesOf<32> private_key) noexcept;

void x25519_public(MutableBytesOf<32> public_key, BytesOf<32> private_key) noexcept;

// False, and `shared` all zero, when the result is all zero: a low-order public key. The caller
// must drop the handshake then (protocol 9). Non-canonical public keys are taken as they are.
[[nodiscard]] bool x25519(MutableBytesOf<32> shared, BytesOf<32> private_key,
                          BytesOf<32> public_key) noexcept;

}  // namespace wgring::crypto

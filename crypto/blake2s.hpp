// BLAKE2s in the three ways WireGuard uses it, which are easily confused (protocol 1). libb2.
// The optional second part spares the callers a copy to join two buffers.
#pragma once

#include "base/bytes.hpp"

namespace wgring::crypto {

// HASH: BLAKE2s-256(a || b). `digest` may alias a or b.
void hash(MutableBytesOf<32> digest, Bytes a, Bytes b = {}) noexcept;
// MAC: keyed BLAKE2s with 16 bytes of output; the key has 1 to 32 bytes (asserted).
void mac(MutableBytesOf<16> tag, Bytes key, Bytes a, Bytes b = {}) noexcept;
// HMAC: RFC 2104 over BLAKE2s-256, a key of any length. `tag` may alias any input.
void hmac(MutableBytesOf<32> tag, Bytes key, Bytes a, Bytes b = {}) noexcept;

}  // namespace wgring::crypto

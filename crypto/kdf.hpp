// KDF1-3: HKDF over HMAC-BLAKE2s without an info string (protocol 1). Outputs may alias the
// chaining key and the input, which are both spent before the first output is written.
#pragma once

#include "base/bytes.hpp"

namespace wgring::crypto {

void kdf1(MutableBytesOf<32> t1, BytesOf<32> chaining_key, Bytes input) noexcept;
void kdf2(MutableBytesOf<32> t1, MutableBytesOf<32> t2, BytesOf<32> chaining_key,
          Bytes input) noexcept;
void kdf3(MutableBytesOf<32> t1, MutableBytesOf<32> t2, MutableBytesOf<32> t3,
          BytesOf<32> chaining_key, Bytes input) noexcept;

}  // namespace wgring::crypto

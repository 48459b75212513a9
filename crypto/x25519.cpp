#include "crypto/x25519.hpp"

#include <openssl/curve25519.h>

#include "crypto/secret.hpp"

namespace wgring::crypto {

void clamp(MutableBytesOf<32> private_key) noexcept {
  private_key[0] = static_cast<std::uint8_t>(private_key[0] & 248U);
  private_key[31] = static_cast<std::uint8_t>((private_key[31] & 127U) | 64U);
}

void x25519_public(MutableBytesOf<32> public_key, BytesOf<32> private_key) noexcept {
  X25519_public_from_private(public_key.data(), private_key.data());
}

bool x25519(MutableBytesOf<32> shared, BytesOf<32> private_key, BytesOf<32> public_key) noexcept {
  const int nonzero = X25519(shared.data(), private_key.data(), public_key.data());
  // Judged here as well: a library whose return value changes must not open the zero-key door.
  if (nonzero != 1 || ct_is_zero(shared)) {
    wipe(shared);
    return false;
  }
  return true;
}

}  // namespace wgring::crypto

#include "crypto/secret.hpp"

#include <sodium.h>

namespace wgring::crypto {

void wipe(MutableBytes bytes) noexcept { sodium_memzero(bytes.data(), bytes.size()); }

bool ct_equal(Bytes a, Bytes b) noexcept {
  if (a.size() != b.size()) {
    return false;
  }
  // The tag of every packet comes here, and sodium_memcmp is some 30 ns slower for it.
  if (a.size() == crypto_verify_16_BYTES) {
    return crypto_verify_16(a.data(), b.data()) == 0;
  }
  return sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool ct_is_zero(Bytes bytes) noexcept { return sodium_is_zero(bytes.data(), bytes.size()) == 1; }

}  // namespace wgring::crypto

#include "crypto/secret.hpp"

#include <sodium.h>

namespace wgring::crypto {

void wipe(MutableBytes bytes) noexcept { sodium_memzero(bytes.data(), bytes.size()); }

bool ct_equal(Bytes a, Bytes b) noexcept {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool ct_is_zero(Bytes bytes) noexcept { return sodium_is_zero(bytes.data(), bytes.size()) == 1; }

}  // namespace wgring::crypto

#include "crypto/siphash.hpp"

#include <sodium.h>

namespace wgring::crypto {

std::uint64_t siphash(BytesOf<16> key, Bytes bytes) noexcept {
  static_assert(crypto_shorthash_KEYBYTES == 16);
  ByteArray<crypto_shorthash_BYTES> out{};
  const int failed = crypto_shorthash(out.data(), bytes.data(), bytes.size(), key.data());
  WG_ASSERT(failed == 0);
  return load_le64(out.data());
}

}  // namespace wgring::crypto

#include "crypto/xaead.hpp"

#include <sodium.h>

#include "crypto/secret.hpp"

namespace wgring::crypto {

void xaead_seal(MutableBytes sealed, Bytes plain, Bytes aad, BytesOf<32> key,
                BytesOf<24> nonce) noexcept {
  WG_ASSERT(sealed.size() == plain.size() + tag_bytes);
  const int failed = crypto_aead_xchacha20poly1305_ietf_encrypt(
      sealed.data(), nullptr, plain.data(), plain.size(), aad.data(), aad.size(), nullptr,
      nonce.data(), key.data());
  WG_ASSERT(failed == 0);
}

bool xaead_open(MutableBytes plain, Bytes sealed, Bytes aad, BytesOf<32> key,
                BytesOf<24> nonce) noexcept {
  WG_ASSERT(sealed.size() == plain.size() + tag_bytes);
  return crypto_aead_xchacha20poly1305_ietf_decrypt(plain.data(), nullptr, nullptr, sealed.data(),
                                                    sealed.size(), aad.data(), aad.size(),
                                                    nonce.data(), key.data()) == 0;
}

}  // namespace wgring::crypto

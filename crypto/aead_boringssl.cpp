#include <openssl/aead.h>

#include "crypto/aead.hpp"
#include "crypto/aead_raw.hpp"

namespace wgring::crypto {
namespace {

// The key schedule of one train, on the caller's stack. EVP_AEAD_CTX keeps this algorithm's state
// inside itself; tests/crypto/allocation_test.cpp holds the library to it.
class Keyed {
 public:
  explicit Keyed(BytesOf<32> key) noexcept {
    const int ready = EVP_AEAD_CTX_init(&context_, EVP_aead_chacha20_poly1305(), key.data(),
                                        key.size(), tag_bytes, nullptr);
    WG_ASSERT(ready == 1);
  }
  Keyed(const Keyed&) = delete;
  Keyed& operator=(const Keyed&) = delete;
  // The library's cleanup leaves the key where it was.
  ~Keyed() {
    EVP_AEAD_CTX_cleanup(&context_);
    wipe(MutableBytes(reinterpret_cast<std::uint8_t*>(&context_), sizeof context_));
  }

  void seal(std::uint8_t* sealed, Bytes plain, Bytes aad, BytesOf<12> nonce) const noexcept {
    std::size_t written = 0;
    const std::size_t sealed_bytes = plain.size() + tag_bytes;
    const int done =
        EVP_AEAD_CTX_seal(&context_, sealed, &written, sealed_bytes, nonce.data(), nonce.size(),
                          plain.data(), plain.size(), aad.data(), aad.size());
    WG_ASSERT(done == 1);
    WG_ASSERT(written == sealed_bytes);
  }

  // The library zeroes the room for the plaintext when the tag is wrong.
  [[nodiscard]] bool open(std::uint8_t* plain, Bytes sealed, Bytes aad,
                          BytesOf<12> nonce) const noexcept {
    if (sealed.size() < tag_bytes) {
      return false;
    }
    std::size_t written = 0;
    const std::size_t plain_bytes = sealed.size() - tag_bytes;
    const int done =
        EVP_AEAD_CTX_open(&context_, plain, &written, plain_bytes, nonce.data(), nonce.size(),
                          sealed.data(), sealed.size(), aad.data(), aad.size());
    return done == 1 && written == plain_bytes;
  }

 private:
  EVP_AEAD_CTX context_;  // EVP_AEAD_CTX_init() fills all of it
};

void seal_train(BytesOf<32> key, std::span<const SealSegment> train) noexcept {
  const Keyed keyed(key);
  for (const SealSegment& segment : train) {
    keyed.seal(segment.sealed, Bytes(segment.plain, segment.plain_bytes), {},
               counter_nonce(segment.counter));
  }
}

void open_train(BytesOf<32> key, std::span<OpenSegment> train) noexcept {
  const Keyed keyed(key);
  for (OpenSegment& segment : train) {
    segment.opened = keyed.open(segment.plain, Bytes(segment.sealed, segment.sealed_bytes), {},
                                counter_nonce(segment.counter));
  }
}

void seal_raw(MutableBytes sealed, Bytes plain, Bytes aad, BytesOf<32> key,
              BytesOf<12> nonce) noexcept {
  WG_ASSERT(sealed.size() == plain.size() + tag_bytes);
  Keyed(key).seal(sealed.data(), plain, aad, nonce);
}

bool open_raw(MutableBytes plain, Bytes sealed, Bytes aad, BytesOf<32> key,
              BytesOf<12> nonce) noexcept {
  WG_ASSERT(sealed.size() == plain.size() + tag_bytes);
  return Keyed(key).open(plain.data(), sealed, aad, nonce);
}

constexpr Aead backend{.name = "boringssl", .seal = seal_train, .open = open_train};
constexpr RawAead raw_backend{.name = "boringssl", .seal = seal_raw, .open = open_raw};

}  // namespace

const Aead& aead_boringssl() noexcept { return backend; }
const RawAead& raw_aead_boringssl() noexcept { return raw_backend; }

}  // namespace wgring::crypto

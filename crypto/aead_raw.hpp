// Internal to crypto/ and its tests: the one-message functions with a whole 12-byte nonce, which
// the trains and the handshake functions of aead.hpp are built on. Published vectors use nonces
// that no counter gives, so the backends are proved equal here.
#pragma once

#include <string_view>

#include "base/bytes.hpp"

namespace wgring::crypto {

struct RawAead {
  std::string_view name;
  void (*seal)(MutableBytes sealed, Bytes plain, Bytes aad, BytesOf<32> key,
               BytesOf<12> nonce) noexcept;
  bool (*open)(MutableBytes plain, Bytes sealed, Bytes aad, BytesOf<32> key,
               BytesOf<12> nonce) noexcept;
};

[[nodiscard]] const RawAead& raw_aead_boringssl() noexcept;
[[nodiscard]] const RawAead& raw_aead_sodium() noexcept;

[[nodiscard]] inline ByteArray<12> counter_nonce(std::uint64_t counter) noexcept {
  ByteArray<12> nonce{};
  store_le64(nonce.data() + 4, counter);
  return nonce;
}

// Which backend aead_seal() and aead_open() use from now on. Set at start-up, before any thread.
void use_for_messages(const RawAead& backend) noexcept;
[[nodiscard]] const RawAead& message_backend() noexcept;

}  // namespace wgring::crypto

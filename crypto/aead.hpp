// ChaCha20-Poly1305 (RFC 8439) on trains: many packets, one key, no associated data.
// The nonce is 4 zero bytes and the 64-bit counter, little-endian (protocol 1).
#pragma once

#include <span>
#include <string_view>

#include "base/bytes.hpp"
#include "crypto/secret.hpp"

namespace wgring::crypto {

// Writes plain_bytes + tag_bytes at `sealed`, which is `plain` itself (in place) or disjoint.
// Segments of one train may not overlap each other's output.
struct SealSegment {
  const std::uint8_t* plain;
  std::uint8_t* sealed;
  std::size_t plain_bytes;
  std::uint64_t counter;
};

// Writes sealed_bytes - tag_bytes at `plain`, which is `sealed` itself or disjoint. `opened` is the
// verdict; when it is false the output is zeroed or untouched and never holds plaintext. Any
// sealed_bytes may be given: one that has no room for a tag is simply not opened.
struct OpenSegment {
  const std::uint8_t* sealed;
  std::uint8_t* plain;
  std::size_t sealed_bytes;
  std::uint64_t counter;
  bool opened;
};

// One backend. Function pointers, so that a train costs one indirect call.
struct Aead {
  std::string_view name;
  void (*seal)(BytesOf<32> key, std::span<const SealSegment> train) noexcept;
  void (*open)(BytesOf<32> key, std::span<OpenSegment> train) noexcept;
};

[[nodiscard]] const Aead& aead_boringssl() noexcept;
[[nodiscard]] const Aead& aead_sodium() noexcept;

// One handshake message with associated data, on the backend that choose_aead() took (BoringSSL
// until then). In place or disjoint, as above; sealed.size() == plain.size() + tag_bytes is
// asserted.
void aead_seal(MutableBytes sealed, Bytes plain, Bytes aad, BytesOf<32> key,
               std::uint64_t counter) noexcept;
// On false `plain` is zeroed or untouched.
[[nodiscard]] bool aead_open(MutableBytes plain, Bytes sealed, Bytes aad, BytesOf<32> key,
                             std::uint64_t counter) noexcept;

}  // namespace wgring::crypto

// The AEAD part of the self-test.
#include <algorithm>
#include <cerrno>

#include "crypto/blake2s.hpp"
#include "crypto/self_test_judges.hpp"

namespace wgring::crypto {
namespace {

// RFC 8439 section 2.8.2.
constexpr std::string_view sunscreen =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    "sunscreen would be it.";
constexpr auto rfc_key =
    bytes_from_hex<32>("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
constexpr auto rfc_nonce = bytes_from_hex<12>("070000004041424344454647");
constexpr auto rfc_aad = bytes_from_hex<12>("50515253c0c1c2c3c4c5c6c7");
constexpr auto rfc_sealed = bytes_from_hex<130>(
    "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92"
    "728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b"
    "4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691");

bool judge_message(const RawAead& raw) noexcept {
  ByteArray<sunscreen.size()> plain{};
  std::ranges::copy(sunscreen, plain.begin());
  ByteArray<rfc_sealed.size()> sealed{};
  raw.seal(sealed, plain, rfc_aad, rfc_key, rfc_nonce);
  if (sealed != rfc_sealed) {
    return false;
  }
  ByteArray<sunscreen.size()> opened{};
  if (!raw.open(opened, sealed, rfc_aad, rfc_key, rfc_nonce) || opened != plain) {
    return false;
  }
  auto other_aad = rfc_aad;
  other_aad[0] ^= 1U;
  return !raw.open(opened, sealed, other_aad, rfc_key, rfc_nonce) && opened != plain;
}

// The train: segment i has lengths[i] bytes, byte j of it is (length + 7 j) mod 256, its counter is
// i * counter_step mod 2^64, the key is 00 01 .. 1f. The answer is the BLAKE2s-256 of all sealed
// segments joined, computed with OpenSSL and Python's hashlib.
constexpr std::array<std::size_t, 13> lengths{0,   1,   16,  63,  64,  65,  128,
                                              193, 255, 256, 321, 512, 1420};
constexpr std::uint64_t counter_step = 0x1123456789abcdefU;
constexpr auto train_digest =
    bytes_from_hex<32>("bc1204366c9beae5b7a562bc2a2cffdd8dfaaa963564c602be3cead3d116c317");

constexpr std::size_t train_bytes() noexcept {
  std::size_t sum = 0;
  for (const std::size_t length : lengths) {
    sum += length + tag_bytes;
  }
  return sum;
}
using Train = ByteArray<train_bytes()>;

consteval Train make_plain() {
  Train plain{};
  std::size_t offset = 0;
  for (const std::size_t length : lengths) {
    for (std::size_t j = 0; j < length; ++j) {
      plain[offset + j] = static_cast<std::uint8_t>(length + 7 * j);
    }
    offset += length + tag_bytes;
  }
  return plain;
}
constexpr Train train_plain = make_plain();

using Segments = std::array<OpenSegment, lengths.size()>;

// Opens `buffer` in place; `opened` is preset to the wrong answer so that silence is not success.
Segments open_in_place(const Aead& aead, BytesOf<32> key, Train& buffer, bool preset) noexcept {
  Segments segments{};
  std::size_t offset = 0;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    std::uint8_t* at = buffer.data() + offset;
    segments[i] = {.sealed = at,
                   .plain = at,
                   .sealed_bytes = lengths[i] + tag_bytes,
                   .counter = i * counter_step,
                   .opened = preset};
    offset += lengths[i] + tag_bytes;
  }
  aead.open(key, segments);
  return segments;
}

bool seals_train(const Aead& aead, BytesOf<32> key, Train& sealed) noexcept {
  std::array<SealSegment, lengths.size()> segments{};
  std::size_t offset = 0;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    segments[i] = {.plain = train_plain.data() + offset,
                   .sealed = sealed.data() + offset,
                   .plain_bytes = lengths[i],
                   .counter = i * counter_step};
    offset += lengths[i] + tag_bytes;
  }
  aead.seal(key, segments);
  ByteArray<32> digest{};
  hash(digest, sealed);
  return digest == train_digest;
}

bool opens_train(const Aead& aead, BytesOf<32> key, Train buffer) noexcept {
  const Segments segments = open_in_place(aead, key, buffer, false);
  std::size_t offset = 0;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    if (!segments[i].opened || !equal_public(Bytes(buffer).subspan(offset, lengths[i]),
                                             Bytes(train_plain).subspan(offset, lengths[i]))) {
      return false;
    }
    offset += lengths[i] + tag_bytes;
  }
  return true;
}

// One bit of each segment is flipped, in its first byte or in the last one of its tag.
bool refuses_train(const Aead& aead, BytesOf<32> key, Train buffer, bool first_byte) noexcept {
  std::size_t offset = 0;
  for (const std::size_t length : lengths) {
    buffer[first_byte ? offset : offset + length + tag_bytes - 1] ^= 0x80U;
    offset += length + tag_bytes;
  }
  const Train tampered = buffer;
  const Segments segments = open_in_place(aead, key, buffer, true);
  offset = 0;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const Bytes output = Bytes(buffer).subspan(offset, lengths[i]);
    const bool untouched = equal_public(output, Bytes(tampered).subspan(offset, lengths[i]));
    if (segments[i].opened || (!untouched && !ct_is_zero(output))) {
      return false;
    }
    offset += lengths[i] + tag_bytes;
  }
  return true;
}

}  // namespace

bool judge_aead(const Aead& aead, const RawAead& raw) noexcept {
  ByteArray<32> key{};
  for (std::size_t i = 0; i < key.size(); ++i) {
    key[i] = static_cast<std::uint8_t>(i);
  }
  Train sealed{};
  return judge_message(raw) && seals_train(aead, key, sealed) && opens_train(aead, key, sealed) &&
         refuses_train(aead, key, sealed, true) && refuses_train(aead, key, sealed, false);
}

// bench/aead_bench, 64 to 8944 bytes: with AVX-512 and its 52-bit multiplication intel-ipsec-mb
// needs 0.45 to 0.82 of BoringSSL's time, with AVX2 1.3 to 1.6 of it.
IpsecMbVerdict judge_ipsecmb(const IpsecMbFacts& facts) noexcept {
  const auto never = [](int errno_value, std::string_view why) {
    return IpsecMbVerdict{.use = AeadUse::never,
                          .failure = {.errno_value = errno_value, .what = why}};
  };
  if (!facts.built) {
    return never(ENOTSUP, "ipsec-mb: not built in; it needs x86-64 and libipsec-mb-dev");
  }
  if (!facts.cpu_has_avx2) {
    return never(ENOTSUP, "ipsec-mb: this CPU is too old; AVX2 and BMI2 are needed");
  }
  if (!facts.library_wipes) {
    return never(ENOTSUP, "ipsec-mb: the library was built without SAFE_DATA and leaves secrets");
  }
  if (facts.manager_bytes > ipsecmb_manager_bytes_max) {
    return never(ENOMEM, "ipsec-mb: the library wants more memory than this build reserves");
  }
  if (!facts.library_starts) {
    return never(EIO, "ipsec-mb: the library failed its own self-test");
  }
  return {.use = facts.cpu_has_avx512_ifma ? AeadUse::automatic : AeadUse::when_forced,
          .failure = {}};
}

Result<const Aead*> choose_from(std::string_view forced,
                                std::span<const AeadCandidate> candidates) noexcept {
  const bool any = forced.empty() || forced == "auto";
  for (const AeadCandidate& candidate : candidates) {
    if (any && candidate.use == AeadUse::automatic) {
      return candidate.aead;
    }
    if (!any && candidate.name == forced) {
      return candidate.use != AeadUse::never
                 ? Result<const Aead*>(candidate.aead)
                 : fail(candidate.failure.errno_value, candidate.failure.what);
    }
  }
  if (any) {
    return fail(EIO, "every ChaCha20-Poly1305 backend failed its self-test");
  }
  return fail(EINVAL, "no such ChaCha20-Poly1305 backend: auto, ipsec-mb, boringssl or sodium");
}

}  // namespace wgring::crypto

// Internal to crypto/ and its tests: the self-test's judgements, taking what they judge, so that a
// test can show that a faulty backend is refused.
#pragma once

#include <span>
#include <string_view>

#include "base/result.hpp"
#include "crypto/aead.hpp"
#include "crypto/aead_ipsecmb.hpp"
#include "crypto/aead_raw.hpp"

namespace wgring::crypto {

// Hex in the source to bytes, at compile time: an assertion that fails here fails the build.
template <std::size_t N>
[[nodiscard]] consteval ByteArray<N> bytes_from_hex(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  WG_ASSERT(text.size() == 2 * N);
  ByteArray<N> out{};
  for (std::size_t i = 0; i < N; ++i) {
    const std::size_t high = digits.find(text[2 * i]);
    const std::size_t low = digits.find(text[2 * i + 1]);
    WG_ASSERT(high < digits.size());
    WG_ASSERT(low < digits.size());
    out[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return out;
}

// Known answers for one message with associated data and for a train whose lengths cross every
// block size that vector code changes at; then each of them tampered with.
[[nodiscard]] bool judge_aead(const Aead& aead, const RawAead& raw) noexcept;

enum class AeadUse : std::uint8_t { never, when_forced, automatic };

// When intel-ipsec-mb is used, and the Error when it is forced and cannot be.
struct IpsecMbVerdict {
  AeadUse use;
  Error failure;
};
[[nodiscard]] IpsecMbVerdict judge_ipsecmb(const IpsecMbFacts& facts) noexcept;

struct AeadCandidate {
  std::string_view name;
  const Aead* aead;  // null when it is never used
  AeadUse use;
  Error failure;  // when it was forced and is never used
};

// The first candidate for automatic use, or the one that is forced by name.
[[nodiscard]] Result<const Aead*> choose_from(std::string_view forced,
                                              std::span<const AeadCandidate> candidates) noexcept;

}  // namespace wgring::crypto

#include "crypto/self_test.hpp"

#include <atomic>
#include <cerrno>

#include <openssl/crypto.h>
#include <sodium.h>

#include "crypto/aead_raw.hpp"
#include "crypto/blake2s.hpp"
#include "crypto/kdf.hpp"
#include "crypto/random.hpp"
#include "crypto/random_source.hpp"
#include "crypto/self_test_judges.hpp"
#include "crypto/siphash.hpp"
#include "crypto/x25519.hpp"
#include "crypto/xaead.hpp"

namespace wgring::crypto {
namespace {

std::atomic<bool> initialised{false};

// RFC 7748 sections 5.2 and 6.1; and a public key of order one, which must be refused.
bool judge_x25519() noexcept {
  constexpr auto scalar =
      bytes_from_hex<32>("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
  constexpr auto point =
      bytes_from_hex<32>("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
  constexpr auto product =
      bytes_from_hex<32>("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  constexpr auto alice_private =
      bytes_from_hex<32>("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  constexpr auto alice_public =
      bytes_from_hex<32>("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  ByteArray<32> out{};
  if (!x25519(out, scalar, point) || out != product) {
    return false;
  }
  x25519_public(out, alice_private);
  if (out != alice_public) {
    return false;
  }
  constexpr PublicKey zero{};
  return !x25519(out, scalar, zero) && ct_is_zero(out);
}

// Keyed with 16 bytes of output; its own library path, see cookies. From cookie_generated.json.
bool judge_mac() noexcept {
  constexpr auto secret =
      bytes_from_hex<32>("156ba7d35c9f7a21aaffbf63265885cfd7d32a4e0d9458fad2c2b4bbae7540ba");
  constexpr auto address = bytes_from_hex<4>("c0000207");
  constexpr auto port = bytes_from_hex<2>("a9c6");
  constexpr auto cookie = bytes_from_hex<16>("b675313286b10831c25c8d595bc7b64a");
  ByteArray<16> out{};
  mac(out, secret, address, port);
  return out == cookie;
}

// RFC 7693 appendix B.
bool judge_hash() noexcept {
  constexpr ByteArray<3> abc{'a', 'b', 'c'};
  constexpr auto digest =
      bytes_from_hex<32>("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
  ByteArray<32> out{};
  hash(out, abc);
  return out == digest;
}

// The first case of wireguard_kdf.json; HMAC pads its 8-byte key with zeros, and so may we.
bool judge_kdf() noexcept {
  constexpr auto key =
      bytes_from_hex<32>("746573742d6b6579000000000000000000000000000000000000000000000000");
  constexpr auto input = bytes_from_hex<10>("746573742d696e707574");
  constexpr std::array<ByteArray<32>, 3> expected{
      bytes_from_hex<32>("6f0e5ad38daba1bea8a0d213688736f19763239305e0f58aba697f9ffc41c633"),
      bytes_from_hex<32>("df1194df20802a4fe594cde27e92991c8cae66c366e8106aaa937a55fa371e8a"),
      bytes_from_hex<32>("fac6e2745a325f5dc5d11a5b165aad08b0ada28e7b4e666b7c077934a4d76c24")};
  std::array<ByteArray<32>, 3> out{};
  kdf3(out[0], out[1], out[2], key, input);
  return out == expected;
}

// Appendix A.3.1 of draft-irtf-cfrg-xchacha, and with the last bit of the tag flipped.
bool judge_xaead() noexcept {
  constexpr std::string_view text =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
      "sunscreen would be it.";
  constexpr auto key =
      bytes_from_hex<32>("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  constexpr auto nonce = bytes_from_hex<24>("404142434445464748494a4b4c4d4e4f5051525354555657");
  constexpr auto aad = bytes_from_hex<12>("50515253c0c1c2c3c4c5c6c7");
  constexpr auto expected = bytes_from_hex<text.size() + tag_bytes>(
      "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4e"
      "da7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2"
      "383565d3fff921f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49");
  ByteArray<text.size()> plain{};
  for (std::size_t i = 0; i < text.size(); ++i) {
    plain[i] = static_cast<std::uint8_t>(text[i]);
  }
  ByteArray<expected.size()> sealed{};
  xaead_seal(sealed, plain, aad, key, nonce);
  ByteArray<text.size()> opened{};
  if (sealed != expected || !xaead_open(opened, sealed, aad, key, nonce) || opened != plain) {
    return false;
  }
  sealed.back() ^= 1U;
  return !xaead_open(opened, sealed, aad, key, nonce) && opened != plain;
}

// The reference implementation's vector for 15 bytes.
bool judge_siphash() noexcept {
  constexpr auto key = bytes_from_hex<16>("000102030405060708090a0b0c0d0e0f");
  return siphash(key, Bytes(key).first(15)) == 0xa129ca6149be45e5U;
}

bool judge_constant_time() noexcept {
  ByteArray<32> bytes{};
  constexpr ByteArray<32> zero{};
  if (!ct_is_zero(bytes) || !ct_equal(bytes, zero)) {
    return false;
  }
  bytes.back() = 1;
  const bool seen = !ct_is_zero(bytes) && !ct_equal(bytes, zero);
  wipe(bytes);
  return seen && ct_equal(bytes, zero);
}

bool judge_random() noexcept {
  ByteArray<32> first{};
  ByteArray<32> second{};
  return random_bytes(first) && random_bytes(second) && !ct_equal(first, second);
}

constexpr std::size_t row_boringssl = 3;
constexpr std::size_t row_sodium = 4;
// The last one, and left out where the backend is never used.
constexpr std::size_t row_ipsecmb = 9;
constexpr std::size_t rows = 10;

// Asked once and before any other thread: it is a property of the machine.
const IpsecMbVerdict& ipsecmb() noexcept {
  static const IpsecMbVerdict verdict = judge_ipsecmb(ipsecmb_facts());
  return verdict;
}

bool judge_ipsecmb_answers() noexcept {
  return ipsecmb().use != AeadUse::never && judge_aead(aead_ipsecmb(), raw_aead_ipsecmb());
}

AeadCandidate ipsecmb_candidate(bool passed) noexcept {
  constexpr std::string_view name = "ipsec-mb";
  if (ipsecmb().use == AeadUse::never) {
    return {.name = name, .aead = nullptr, .use = AeadUse::never, .failure = ipsecmb().failure};
  }
  return {
      .name = name,
      .aead = &aead_ipsecmb(),
      .use = passed ? ipsecmb().use : AeadUse::never,
      .failure = {.errno_value = EIO, .what = "ipsec-mb: ChaCha20-Poly1305 failed its self-test"}};
}

const RawAead& raw_of(const Aead& aead) noexcept {
  if (&aead == &aead_sodium()) {
    return raw_aead_sodium();
  }
  return &aead == &aead_boringssl() ? raw_aead_boringssl() : raw_aead_ipsecmb();
}

std::array<SelfTestResult, rows> run() noexcept {
  return {{{.primitive = "x25519", .passed = judge_x25519()},
           {.primitive = "blake2s", .passed = judge_hash() && judge_mac()},
           {.primitive = "hmac-kdf", .passed = judge_kdf()},
           {.primitive = "chacha20-poly1305/boringssl",
            .passed = judge_aead(aead_boringssl(), raw_aead_boringssl())},
           {.primitive = "chacha20-poly1305/sodium",
            .passed = judge_aead(aead_sodium(), raw_aead_sodium())},
           {.primitive = "xchacha20-poly1305", .passed = judge_xaead()},
           {.primitive = "siphash", .passed = judge_siphash()},
           {.primitive = "constant-time", .passed = judge_constant_time()},
           {.primitive = "random", .passed = judge_random()},
           {.primitive = "chacha20-poly1305/ipsec-mb", .passed = judge_ipsecmb_answers()}}};
}

}  // namespace

Status initialise() noexcept {
  if (sodium_init() < 0) {
    return fail(EIO, "sodium_init: libsodium cannot start: no getrandom() and no /dev/urandom?");
  }
  CRYPTO_library_init();
  // libb2 chooses its code by CPU features at the first call, which no two threads may race for.
  ByteArray<hash_bytes> digest{};
  hash(digest, {});
  mac(fixed<mac_bytes>(MutableBytes(digest)), fixed<1>(Bytes(digest)), {});
  allow_random();
  initialised.store(true, std::memory_order_relaxed);
  return {};
}

void prepare_thread() noexcept {
  constexpr ByteArray<32> key{};
  ByteArray<tag_bytes> sealed{};
  OpenSegment refused{.sealed = sealed.data(),
                      .plain = sealed.data(),
                      .sealed_bytes = sealed.size(),
                      .counter = 0,
                      .opened = true};
  aead_boringssl().open(key, std::span(&refused, 1));
  WG_ASSERT(!refused.opened);
  if (ipsecmb().use != AeadUse::never) {
    prepare_ipsecmb_thread();
  }
}

std::span<const SelfTestResult> self_test() noexcept {
  WG_ASSERT(initialised.load(std::memory_order_relaxed));
  static const std::array<SelfTestResult, rows> results = run();
  return std::span(results).first(ipsecmb().use != AeadUse::never ? rows : row_ipsecmb);
}

Result<const Aead*> choose_aead(std::string_view forced) noexcept {
  const std::span<const SelfTestResult> results = self_test();
  const bool ipsecmb_passed = results.size() > row_ipsecmb && results[row_ipsecmb].passed;
  const auto use = [&](std::size_t row) {
    return results[row].passed ? AeadUse::automatic : AeadUse::never;
  };
  const std::array<AeadCandidate, 3> candidates{
      {ipsecmb_candidate(ipsecmb_passed),
       {.name = "boringssl",
        .aead = &aead_boringssl(),
        .use = use(row_boringssl),
        .failure = {.errno_value = EIO,
                    .what = "boringssl: ChaCha20-Poly1305 failed its self-test"}},
       {.name = "sodium",
        .aead = &aead_sodium(),
        .use = use(row_sodium),
        .failure = {.errno_value = EIO,
                    .what = "sodium: ChaCha20-Poly1305 failed its self-test"}}}};
  const Result<const Aead*> chosen = choose_from(forced, candidates);
  if (chosen) {
    use_for_messages(raw_of(**chosen));
  }
  return chosen;
}

}  // namespace wgring::crypto

#include "crypto/self_test.hpp"

#include <cerrno>
#include <string>

#include <gtest/gtest.h>

#include "crypto/self_test_judges.hpp"
#include "tests/crypto/backends.hpp"

namespace wgring::crypto {
namespace {

// Faulty backends: BoringSSL's with one fault each, as a bad build or CPU would have.
void seals_one_bit_off(BytesOf<32> key, std::span<const SealSegment> train) noexcept {
  aead_boringssl().seal(key, train);
  train.back().sealed[train.back().plain_bytes / 2] ^= 1U;
}
void seals_only_the_first(BytesOf<32> key, std::span<const SealSegment> train) noexcept {
  aead_boringssl().seal(key, train.first(1));
}
void seals_with_32_bits_of_counter(BytesOf<32> key, std::span<const SealSegment> train) noexcept {
  for (SealSegment segment : train) {
    segment.counter &= 0xffffffffU;
    aead_boringssl().seal(key, std::span(&segment, 1));
  }
}
// The other half of the fault before it: such a backend agrees with itself.
void opens_with_32_bits_of_counter(BytesOf<32> key, std::span<OpenSegment> train) noexcept {
  for (OpenSegment& segment : train) {
    OpenSegment truncated = segment;
    truncated.counter &= 0xffffffffU;
    aead_boringssl().open(key, std::span(&truncated, 1));
    segment.opened = truncated.opened;
  }
}
void opens_everything(BytesOf<32> key, std::span<OpenSegment> train) noexcept {
  aead_boringssl().open(key, train);
  for (OpenSegment& segment : train) {
    segment.opened = true;
  }
}
void opens_nothing(BytesOf<32>, std::span<OpenSegment> train) noexcept {
  for (OpenSegment& segment : train) {
    segment.opened = false;
  }
}
void opens_without_a_verdict(BytesOf<32> key, std::span<OpenSegment> train) noexcept {
  for (OpenSegment& segment : train) {
    OpenSegment copy = segment;
    aead_boringssl().open(key, std::span(&copy, 1));
  }
}
// Says that the tag is wrong but leaves something behind.
void opens_and_leaks(BytesOf<32> key, std::span<OpenSegment> train) noexcept {
  aead_boringssl().open(key, train);
  for (OpenSegment& segment : train) {
    if (!segment.opened && segment.sealed_bytes > tag_bytes) {
      segment.plain[0] = 0x45;
    }
  }
}
void raw_seals_without_aad(MutableBytes sealed, Bytes plain, Bytes, BytesOf<32> key,
                           BytesOf<12> nonce) noexcept {
  raw_aead_boringssl().seal(sealed, plain, {}, key, nonce);
}
bool raw_opens_everything(MutableBytes plain, Bytes sealed, Bytes aad, BytesOf<32> key,
                          BytesOf<12> nonce) noexcept {
  static_cast<void>(raw_aead_boringssl().open(plain, sealed, aad, key, nonce));
  return true;
}

TEST(SelfTest, every_primitive_passes_here) {
  const std::span<const SelfTestResult> results = self_test();
  std::string names;
  for (const SelfTestResult& result : results) {
    EXPECT_TRUE(result.passed) << result.primitive;
    names += std::string(result.primitive) + " ";
  }
  EXPECT_EQ(names,
            "x25519 blake2s hmac-kdf chacha20-poly1305/boringssl chacha20-poly1305/sodium "
            "xchacha20-poly1305 siphash constant-time random " +
                std::string(test_backends::has_ipsecmb() ? "chacha20-poly1305/ipsec-mb " : ""));
  EXPECT_EQ(self_test().data(), results.data());
}

TEST(SelfTest, accepts_each_backend) {
  const std::vector<const Aead*> backends = test_backends::all();
  const std::vector<const RawAead*> raws = test_backends::all_raw();
  for (std::size_t i = 0; i < backends.size(); ++i) {
    EXPECT_TRUE(judge_aead(*backends[i], *raws[i])) << backends[i]->name;
  }
}

TEST(SelfTest, refuses_a_train_that_is_sealed_wrongly) {
  for (auto* fault : {seals_one_bit_off, seals_only_the_first, seals_with_32_bits_of_counter}) {
    const Aead faulty{.name = "faulty", .seal = fault, .open = aead_boringssl().open};
    EXPECT_FALSE(judge_aead(faulty, raw_aead_boringssl()));
  }
}

TEST(SelfTest, refuses_a_train_that_is_opened_wrongly) {
  for (auto* fault : {opens_everything, opens_nothing, opens_without_a_verdict, opens_and_leaks}) {
    const Aead faulty{.name = "faulty", .seal = aead_boringssl().seal, .open = fault};
    EXPECT_FALSE(judge_aead(faulty, raw_aead_boringssl()));
  }
}

TEST(SelfTest, refuses_a_backend_that_agrees_with_itself_alone) {
  const Aead faulty{.name = "faulty",
                    .seal = seals_with_32_bits_of_counter,
                    .open = opens_with_32_bits_of_counter};
  EXPECT_FALSE(judge_aead(faulty, raw_aead_boringssl()));
}

TEST(SelfTest, refuses_a_message_that_is_handled_wrongly) {
  const RawAead no_aad{
      .name = "faulty", .seal = raw_seals_without_aad, .open = raw_aead_boringssl().open};
  EXPECT_FALSE(judge_aead(aead_boringssl(), no_aad));
  const RawAead open_door{
      .name = "faulty", .seal = raw_aead_boringssl().seal, .open = raw_opens_everything};
  EXPECT_FALSE(judge_aead(aead_boringssl(), open_door));
}

TEST(ChooseAead, names_are_obeyed) {
  EXPECT_EQ(choose_aead("sodium").value(), &aead_sodium());
  EXPECT_EQ(choose_aead("boringssl").value(), &aead_boringssl());
  const Result<const Aead*> unknown = choose_aead("openssl");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().errno_value, EINVAL);
}

constexpr Error failed_it{.errno_value = EIO, .what = "it failed"};

TEST(ChooseAead, auto_is_the_first_that_passed) {
  std::array<AeadCandidate, 2> candidates{{{.name = "boringssl",
                                            .aead = &aead_boringssl(),
                                            .use = AeadUse::automatic,
                                            .failure = failed_it},
                                           {.name = "sodium",
                                            .aead = &aead_sodium(),
                                            .use = AeadUse::automatic,
                                            .failure = failed_it}}};
  EXPECT_EQ(choose_from("", candidates).value(), &aead_boringssl());
  candidates[0].use = AeadUse::never;
  EXPECT_EQ(choose_from("", candidates).value(), &aead_sodium());
  EXPECT_EQ(choose_from("auto", candidates).value(), &aead_sodium());
  EXPECT_EQ(choose_from("sodium", candidates).value(), &aead_sodium());
  const Result<const Aead*> forced = choose_from("boringssl", candidates);
  ASSERT_FALSE(forced);
  EXPECT_EQ(forced.error().what, "it failed");
  EXPECT_EQ(forced.error().errno_value, EIO);

  candidates[1].use = AeadUse::never;
  EXPECT_FALSE(choose_from("auto", candidates));
  EXPECT_FALSE(choose_from("sodium", candidates));
}

TEST(ChooseAead, what_is_for_request_only_is_never_automatic) {
  const std::array<AeadCandidate, 2> candidates{
      {{.name = "slow", .aead = &aead_sodium(), .use = AeadUse::when_forced, .failure = failed_it},
       {.name = "boringssl",
        .aead = &aead_boringssl(),
        .use = AeadUse::automatic,
        .failure = failed_it}}};
  EXPECT_EQ(choose_from("auto", candidates).value(), &aead_boringssl());
  EXPECT_EQ(choose_from("slow", candidates).value(), &aead_sodium());
  EXPECT_FALSE(choose_from("auto", std::span(candidates).first(1)));
}

// All backends give the same bytes, so only one that gives others can show which is used.
TEST(ChooseAead, handshake_messages_follow_the_choice) {
  const ByteArray<32> key{1};
  const ByteArray<12> plain{2};
  const ByteArray<32> aad{3};
  ByteArray<28> expected{};
  ByteArray<28> sealed{};
  const RawAead odd{.name = "odd", .seal = raw_seals_without_aad, .open = raw_opens_everything};
  raw_aead_sodium().seal(expected, plain, aad, key, counter_nonce(9));

  use_for_messages(odd);
  aead_seal(sealed, plain, aad, key, 9);
  EXPECT_NE(sealed, expected);
  ByteArray<12> opened{};
  EXPECT_TRUE(aead_open(opened, sealed, aad, key, 9));
  std::vector<std::string_view> names{"auto"};
  for (const Aead* backend : test_backends::all()) {
    names.push_back(backend->name);
  }
  for (const std::string_view name : names) {
    use_for_messages(odd);
    ASSERT_TRUE(choose_aead(name)) << name;
    aead_seal(sealed, plain, aad, key, 9);
    EXPECT_EQ(sealed, expected) << name;
    EXPECT_TRUE(aead_open(opened, sealed, aad, key, 9)) << name;
    EXPECT_EQ(opened, plain) << name;
    EXPECT_FALSE(aead_open(opened, sealed, aad, key, 8)) << name;
    EXPECT_EQ(message_backend().name, choose_aead(name).value()->name);
  }
}

TEST(AeadDeath, sizes_that_do_not_fit_are_a_bug) {
  const ByteArray<32> key{};
  ByteArray<16> plain{};
  ByteArray<31> sealed{};
  EXPECT_DEATH(aead_seal(sealed, plain, {}, key, 0), "assertion failed");
  EXPECT_DEATH(static_cast<void>(aead_open(plain, sealed, {}, key, 0)), "assertion failed");
}

}  // namespace
}  // namespace wgring::crypto

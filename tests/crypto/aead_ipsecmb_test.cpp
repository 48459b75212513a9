// The optional backend: when it is used, equality with BoringSSL, and what it leaves behind.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <thread>

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crypto/self_test.hpp"
#include "tests/crypto/backends.hpp"
#include "tests/support/json_vectors.hpp"

namespace wgring::crypto {
namespace {

using Buffer = test::Buffer;

constexpr IpsecMbFacts best{.built = true,
                            .cpu_has_avx2 = true,
                            .cpu_has_avx512_ifma = true,
                            .library_wipes = true,
                            .manager_bytes = ipsecmb_manager_bytes_max,
                            .library_starts = true};

TEST(IpsecMbChoice, is_automatic_with_avx512_and_by_request_with_avx2) {
  EXPECT_EQ(judge_ipsecmb(best).use, AeadUse::automatic);
  IpsecMbFacts avx2 = best;
  avx2.cpu_has_avx512_ifma = false;
  EXPECT_EQ(judge_ipsecmb(avx2).use, AeadUse::when_forced);
}

struct Refusal {
  void (*spoil)(IpsecMbFacts&);
  int errno_value;
  std::string_view word;
};

TEST(IpsecMbChoice, says_why_it_is_not_used) {
  const std::array<Refusal, 5> refusals{
      {{[](IpsecMbFacts& facts) { facts = {}; }, ENOTSUP, "not built in"},
       {[](IpsecMbFacts& facts) { facts.cpu_has_avx2 = false; }, ENOTSUP, "CPU is too old"},
       {[](IpsecMbFacts& facts) { facts.library_wipes = false; }, ENOTSUP, "SAFE_DATA"},
       {[](IpsecMbFacts& facts) { ++facts.manager_bytes; }, ENOMEM, "memory"},
       {[](IpsecMbFacts& facts) { facts.library_starts = false; }, EIO, "self-test"}}};
  for (const Refusal& refusal : refusals) {
    SCOPED_TRACE(refusal.word);
    IpsecMbFacts facts = best;
    refusal.spoil(facts);
    const IpsecMbVerdict verdict = judge_ipsecmb(facts);
    EXPECT_EQ(verdict.use, AeadUse::never);
    EXPECT_EQ(verdict.failure.errno_value, refusal.errno_value);
    EXPECT_NE(verdict.failure.what.find(refusal.word), std::string_view::npos);

    const std::array<AeadCandidate, 2> candidates{
        {{.name = "ipsec-mb", .aead = nullptr, .use = verdict.use, .failure = verdict.failure},
         {.name = "boringssl",
          .aead = &aead_boringssl(),
          .use = AeadUse::automatic,
          .failure = {}}}};
    EXPECT_EQ(choose_from("auto", candidates).value(), &aead_boringssl());
    const Result<const Aead*> forced = choose_from("ipsec-mb", candidates);
    ASSERT_FALSE(forced);
    EXPECT_EQ(forced.error().errno_value, refusal.errno_value);
    EXPECT_EQ(forced.error().what, verdict.failure.what);
  }
}

TEST(IpsecMbChoice, is_what_this_machine_says) {
  const IpsecMbVerdict verdict = judge_ipsecmb(ipsecmb_facts());
  const Result<const Aead*> forced = choose_aead("ipsec-mb");
  EXPECT_EQ(forced.has_value(), verdict.use != AeadUse::never);
  if (forced) {
    EXPECT_EQ((*forced)->name, "ipsec-mb");
  } else {
    EXPECT_EQ(forced.error().what, verdict.failure.what);
  }
  const bool automatic = verdict.use == AeadUse::automatic;
  for (const std::string_view word : {"", "auto"}) {
    EXPECT_EQ(choose_aead(word).value()->name, automatic ? "ipsec-mb" : "boringssl");
  }
}

// Instantiated once, or not at all where the backend cannot run.
class IpsecMb : public ::testing::TestWithParam<const Aead*> {
 protected:
  Buffer bytes(std::size_t size) {
    Buffer out(size);
    std::ranges::generate(out, [&] { return static_cast<std::uint8_t>(engine_()); });
    return out;
  }
  ByteArray<32> key() {
    ByteArray<32> out{};
    copy_bytes(out, bytes(out.size()));
    return out;
  }
  std::size_t below(std::size_t bound) { return engine_() % bound; }

  std::mt19937_64 engine_{20240314};
};

// Up to 64 packets of 0 to 9000 bytes, in place and apart; opened by the other backend and by
// this one, with a third of the packets forged.
TEST_P(IpsecMb, equals_boringssl_on_random_trains) {
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE(round);
    const bool in_place = round % 2 == 0;
    const std::size_t stride = 9000 + tag_bytes + below(64);
    const ByteArray<32> secret = key();
    std::vector<SealSegment> seals(1 + below(64));
    Buffer ours = bytes(seals.size() * stride);
    Buffer theirs = ours;
    const Buffer plain = ours;
    for (std::size_t i = 0; i < seals.size(); ++i) {
      seals[i] = {.plain = (in_place ? ours : plain).data() + i * stride,
                  .sealed = ours.data() + i * stride,
                  .plain_bytes = below(9001),
                  .counter = engine_()};
    }
    aead_ipsecmb().seal(secret, seals);
    for (std::size_t i = 0; i < seals.size(); ++i) {
      seals[i].plain = plain.data() + i * stride;
      seals[i].sealed = theirs.data() + i * stride;
    }
    aead_boringssl().seal(secret, seals);
    ASSERT_EQ(ours, theirs);

    Buffer apart(in_place ? 0 : ours.size());
    std::vector<OpenSegment> opens(seals.size());
    for (std::size_t i = 0; i < seals.size(); ++i) {
      const std::size_t sealed_bytes = seals[i].plain_bytes + tag_bytes;
      if (i % 3 == 2) {
        ours[i * stride + below(sealed_bytes)] ^= static_cast<std::uint8_t>(1U << below(8));
      }
      opens[i] = {.sealed = ours.data() + i * stride,
                  .plain = (in_place ? ours : apart).data() + i * stride,
                  .sealed_bytes = sealed_bytes,
                  .counter = seals[i].counter,
                  .opened = i % 2 == 0};
    }
    aead_ipsecmb().open(secret, opens);
    for (std::size_t i = 0; i < opens.size(); ++i) {
      const Bytes opened(opens[i].plain, seals[i].plain_bytes);
      ASSERT_EQ(opens[i].opened, i % 3 != 2);
      if (opens[i].opened) {
        ASSERT_TRUE(equal_public(opened, Bytes(plain).subspan(i * stride, opened.size())));
      } else {
        ASSERT_TRUE(ct_is_zero(opened));
      }
    }
  }
}

// Vector code likes to read whole registers: both neighbours of the packet are unmapped, so that
// one byte too many faults.
TEST_P(IpsecMb, touches_nothing_beside_the_packet) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* mapped =
      mmap(nullptr, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  auto* middle = static_cast<std::uint8_t*>(mapped) + page;
  ASSERT_EQ(mprotect(mapped, page, PROT_NONE), 0);
  ASSERT_EQ(mprotect(middle + page, page, PROT_NONE), 0);
  const ByteArray<32> secret = key();
  for (std::size_t length = 0; length + tag_bytes <= page; length += length < 400 ? 1 : 13) {
    for (std::uint8_t* at : {middle, middle + page - length - tag_bytes}) {
      const Buffer plain = bytes(length);
      copy_bytes(MutableBytes(at, length), plain);
      const SealSegment seal{.plain = at, .sealed = at, .plain_bytes = length, .counter = length};
      aead_ipsecmb().seal(secret, std::span(&seal, 1));
      OpenSegment open{.sealed = at,
                       .plain = at,
                       .sealed_bytes = length + tag_bytes,
                       .counter = length,
                       .opened = false};
      aead_ipsecmb().open(secret, std::span(&open, 1));
      ASSERT_TRUE(open.opened) << length;
      ASSERT_TRUE(equal_public(plain, Bytes(at, length))) << length;
    }
  }
  ASSERT_EQ(munmap(mapped, 3 * page), 0);
}

[[nodiscard]] bool holds(Bytes memory, Bytes needle) {
  return memmem(memory.data(), memory.size(), needle.data(), needle.size()) != nullptr;
}

// Any 8 bytes of the key in a row would be too many; so would be those of the
// last packet's keystream or of its plaintext.
TEST_P(IpsecMb, leaves_no_secret_in_its_manager) {
  const ByteArray<32> secret = key();
  const Buffer plain = bytes(1424);
  const Buffer aad = bytes(32);
  for (std::uint64_t counter = 0; counter < 600; ++counter) {
    Buffer sealed(plain.size() + tag_bytes);
    const SealSegment seal{.plain = plain.data(),
                           .sealed = sealed.data(),
                           .plain_bytes = plain.size(),
                           .counter = counter};
    aead_ipsecmb().seal(secret, std::span(&seal, 1));
    OpenSegment open{.sealed = sealed.data(),
                     .plain = sealed.data(),
                     .sealed_bytes = sealed.size(),
                     .counter = counter + counter % 2,
                     .opened = false};
    aead_ipsecmb().open(secret, std::span(&open, 1));
    raw_aead_ipsecmb().seal(sealed, plain, aad, secret, counter_nonce(counter));
  }
  const Bytes memory = ipsecmb_thread_memory();
  ASSERT_FALSE(ct_is_zero(memory));
  for (std::size_t i = 0; i + 8 <= secret.size(); ++i) {
    EXPECT_FALSE(holds(memory, Bytes(secret).subspan(i, 8))) << i;
  }
  Buffer keystream(plain.size() + tag_bytes);
  raw_aead_boringssl().seal(keystream, Buffer(plain.size()), {}, secret, counter_nonce(599));
  for (std::size_t i = 0; i + 8 <= 256; ++i) {
    EXPECT_FALSE(holds(memory, Bytes(keystream).subspan(i, 8))) << i;
    EXPECT_FALSE(holds(memory, Bytes(plain).subspan(i, 8))) << i;
  }
}

struct StackUser {
  const ByteArray<32>& secret;
  const Buffer& plain;
  Buffer& sealed;
};
void* seal_and_open(void* argument) {
  const auto& user = *static_cast<StackUser*>(argument);
  const SealSegment seal{.plain = user.plain.data(),
                         .sealed = user.sealed.data(),
                         .plain_bytes = user.plain.size(),
                         .counter = 7};
  aead_ipsecmb().seal(user.secret, std::span(&seal, 1));
  OpenSegment open{.sealed = user.sealed.data(),
                   .plain = user.sealed.data(),
                   .sealed_bytes = user.sealed.size(),
                   .counter = 7,
                   .opened = false};
  aead_ipsecmb().open(user.secret, std::span(&open, 1));
  WG_ASSERT(open.opened);
  return nullptr;
}

// The keystream of the first blocks stands for Poly1305's one-time key as well: the library
// generates that key in front of it, in the same buffer.
TEST_P(IpsecMb, leaves_no_secret_on_the_stack) {
  const ByteArray<32> secret = key();
  const Buffer plain = bytes(1424);
  Buffer sealed(plain.size() + tag_bytes);
  // From the heap, where a sanitizer's fake stack does not lead away from it.
  Buffer stack(std::size_t{1} << 20U);
  StackUser user{.secret = secret, .plain = plain, .sealed = sealed};
  pthread_attr_t attributes{};
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstack(&attributes, stack.data(), stack.size()), 0);
  pthread_t thread{};
  ASSERT_EQ(pthread_create(&thread, &attributes, seal_and_open, &user), 0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  ASSERT_EQ(pthread_attr_destroy(&attributes), 0);
  ASSERT_FALSE(ct_is_zero(stack));

  Buffer keystream(plain.size() + tag_bytes);
  raw_aead_boringssl().seal(keystream, Buffer(plain.size()), {}, secret, counter_nonce(7));
  for (std::size_t i = 0; i + 8 <= 1024; i += 8) {
    EXPECT_FALSE(holds(stack, Bytes(keystream).subspan(i, 8))) << i;
    EXPECT_FALSE(holds(stack, Bytes(plain).subspan(i, 8))) << i;
  }
  for (std::size_t i = 0; i + 8 <= secret.size(); ++i) {
    EXPECT_FALSE(holds(stack, Bytes(secret).subspan(i, 8))) << i;
  }
}

TEST_P(IpsecMb, each_thread_has_its_own_manager) {
  const Buffer plain = bytes(1424);
  const ByteArray<32> secret = key();
  std::array<Buffer, 4> sealed;
  std::array<const std::uint8_t*, 4> managers{};
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < sealed.size(); ++t) {
      threads.emplace_back([&, t] {
        if (t % 2 == 0) {
          prepare_thread();
        }
        EXPECT_EQ(ct_is_zero(ipsecmb_thread_memory()), t % 2 != 0);
        sealed[t].resize(plain.size() + tag_bytes);
        for (std::uint64_t counter = 0; counter < 2000; ++counter) {
          const SealSegment seal{.plain = plain.data(),
                                 .sealed = sealed[t].data(),
                                 .plain_bytes = plain.size(),
                                 .counter = counter};
          aead_ipsecmb().seal(secret, std::span(&seal, 1));
        }
        managers[t] = ipsecmb_thread_memory().data();
      });
    }
  }
  Buffer expected(plain.size() + tag_bytes);
  raw_aead_boringssl().seal(expected, plain, {}, secret, counter_nonce(1999));
  for (std::size_t t = 0; t < sealed.size(); ++t) {
    EXPECT_EQ(sealed[t], expected) << t;
    EXPECT_NE(managers[t], ipsecmb_thread_memory().data()) << t;
  }
}

[[nodiscard]] std::vector<const Aead*> here() {
  return test_backends::has_ipsecmb() ? std::vector{&aead_ipsecmb()} : std::vector<const Aead*>{};
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(IpsecMb);
INSTANTIATE_TEST_SUITE_P(Here, IpsecMb, ::testing::ValuesIn(here()), [](const auto& backend) {
  return test_backends::test_name(*backend.param);
});

}  // namespace
}  // namespace wgring::crypto

// Nothing in crypto/ allocates, and neither do the libraries beneath it, but for an error record
// per thread that prepare_thread() makes. malloc itself is replaced by a counting one, which the
// libraries call as well.
#include <cstdlib>
#include <thread>

#include <gtest/gtest.h>

#include "crypto/aead.hpp"
#include "crypto/blake2s.hpp"
#include "crypto/kdf.hpp"
#include "crypto/random.hpp"
#include "crypto/self_test.hpp"
#include "crypto/siphash.hpp"
#include "crypto/x25519.hpp"
#include "crypto/xaead.hpp"
#include "tests/crypto/backends.hpp"

// Sanitizers bring their own malloc, and a second replacement would fight with it.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WGRING_COUNT_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WGRING_COUNT_ALLOCATIONS 0
#endif
#endif
#if !defined(WGRING_COUNT_ALLOCATIONS)
#define WGRING_COUNT_ALLOCATIONS 1
#endif

#if WGRING_COUNT_ALLOCATIONS

namespace {
thread_local std::size_t allocations = 0;
}

extern "C" {
// glibc's own entry points, so that replacing malloc needs no dlsym (which allocates).
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);

void* malloc(std::size_t size) noexcept {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  ++allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) noexcept {
  ++allocations;
  return __libc_realloc(old, size);
}
}

namespace wgring::crypto {
namespace {

// Everything that a packet or a handshake can call, with a forged packet among the honest ones.
void use_everything(const Aead& aead) {
  const ByteArray<32> key{1};
  ByteArray<1500> buffer{};
  const SealSegment seal{
      .plain = buffer.data(), .sealed = buffer.data(), .plain_bytes = 1420, .counter = 0};
  aead.seal(key, std::span(&seal, 1));
  OpenSegment open{.sealed = buffer.data(),
                   .plain = buffer.data(),
                   .sealed_bytes = 1436,
                   .counter = 1,
                   .opened = true};
  aead.open(key, std::span(&open, 1));
  WG_ASSERT(!open.opened);

  ByteArray<32> a{};
  ByteArray<32> b{};
  ByteArray<32> c{};
  ByteArray<16> tag{};
  WG_ASSERT(random_bytes(a));
  x25519_public(b, a);
  WG_ASSERT(x25519(c, a, b));
  hash(c, a, b);
  hmac(c, a, b);
  mac(tag, a, b);
  kdf3(a, b, c, a, b);
  WG_ASSERT(siphash(tag, a) != 0);
  ByteArray<48> sealed{};
  aead_seal(sealed, a, b, key, 0);
  WG_ASSERT(aead_open(a, sealed, b, key, 0));
  const ByteArray<24> nonce{};
  xaead_seal(sealed, a, b, key, nonce);
  sealed[0] ^= 1U;
  WG_ASSERT(!xaead_open(a, sealed, b, key, nonce));
}

std::size_t allocations_of(const Aead& aead) {
  const std::size_t before = allocations;
  use_everything(aead);
  return allocations - before;
}

TEST(Allocation, the_counter_counts) {
  const std::size_t before = allocations;
  void* volatile block = std::malloc(1);
  std::free(block);
  EXPECT_EQ(allocations, before + 1);
}

TEST(Allocation, none_in_a_thread_that_was_prepared) {
  for (const Aead* aead : test_backends::all()) {
    std::size_t seen = 1;
    std::thread([&] {
      prepare_thread();
      seen = allocations_of(*aead);
    }).join();
    EXPECT_EQ(seen, 0U) << aead->name;
  }
}

TEST(Allocation, a_record_at_the_first_forged_packet_of_a_thread_that_was_not) {
  std::size_t first = 0;
  std::size_t second = 1;
  std::thread([&] {
    first = allocations_of(aead_boringssl());
    second = allocations_of(aead_boringssl());
  }).join();
  EXPECT_LE(first, 2U);
  EXPECT_EQ(second, 0U);
}

}  // namespace
}  // namespace wgring::crypto

#endif

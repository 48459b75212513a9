#include "crypto/secret.hpp"

#include <algorithm>
#include <new>
#include <type_traits>

#include <gtest/gtest.h>

namespace wgring::crypto {
namespace {

static_assert(!std::is_copy_constructible_v<Secret<32>>);
static_assert(!std::is_copy_assignable_v<Secret<32>>);
static_assert(std::is_nothrow_move_constructible_v<Secret<32>>);
static_assert(std::is_nothrow_move_assignable_v<Secret<32>>);
static_assert(sizeof(Secret<32>) == 32);
template <typename T>
concept Comparable = requires(const T& a, const T& b) { a == b; };
static_assert(!Comparable<Secret<32>>);

ByteArray<32> pattern() {
  ByteArray<32> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(i + 1);
  }
  return bytes;
}

bool all_zero(Bytes bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

TEST(Secret, starts_as_zero) { EXPECT_TRUE(all_zero(Secret<32>().view())); }

TEST(Secret, is_wiped_when_destroyed) {
  alignas(Secret<32>) ByteArray<sizeof(Secret<32>)> storage{};
  auto* secret = new (storage.data()) Secret<32>(pattern());
  ASSERT_TRUE(equal_public(storage, pattern()));
  secret->~Secret();
  EXPECT_TRUE(all_zero(storage));
}

TEST(Secret, is_wiped_when_moved_from) {
  Secret<32> from(pattern());
  const Secret<32> constructed(std::move(from));
  EXPECT_TRUE(equal_public(constructed.view(), pattern()));
  EXPECT_TRUE(all_zero(from.view()));  // NOLINT(bugprone-use-after-move): it is the subject

  Secret<32> again(pattern());
  Secret<32> assigned;
  assigned = std::move(again);
  EXPECT_TRUE(equal_public(assigned.view(), pattern()));
  EXPECT_TRUE(all_zero(again.view()));  // NOLINT(bugprone-use-after-move)
}

TEST(Secret, survives_a_move_to_itself) {
  Secret<32> secret(pattern());
  Secret<32>& same = secret;
  secret = std::move(same);
  EXPECT_TRUE(equal_public(secret.view(), pattern()));
}

TEST(Secret, clones_are_apart) {
  Secret<32> secret(pattern());
  const Secret<32> clone = secret.clone();
  secret.wipe();
  EXPECT_TRUE(all_zero(secret.view()));
  EXPECT_TRUE(equal_public(clone.view(), pattern()));
}

TEST(Wipe, zeroes_all_and_takes_nothing) {
  ByteArray<32> bytes = pattern();
  wipe(bytes);
  EXPECT_TRUE(all_zero(bytes));
  wipe({});
}

TEST(ConstantTime, equal_sees_every_byte_and_the_size) {
  const ByteArray<32> a = pattern();
  EXPECT_TRUE(ct_equal(a, pattern()));
  for (std::size_t i = 0; i < a.size(); ++i) {
    ByteArray<32> b = a;
    b[i] ^= 1U;
    EXPECT_FALSE(ct_equal(a, b)) << i;
  }
  EXPECT_FALSE(ct_equal(a, Bytes(a).first(31)));
  EXPECT_FALSE(ct_equal(Bytes(), a));
  EXPECT_TRUE(ct_equal(Bytes(), Bytes()));
}

TEST(ConstantTime, zero_sees_every_bit) {
  ByteArray<32> bytes{};
  EXPECT_TRUE(ct_is_zero(bytes));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] = static_cast<std::uint8_t>(1U << (bit % 8));
    EXPECT_FALSE(ct_is_zero(bytes)) << bit;
    bytes[bit / 8] = 0;
  }
  EXPECT_TRUE(ct_is_zero({}));
}

}  // namespace
}  // namespace wgring::crypto

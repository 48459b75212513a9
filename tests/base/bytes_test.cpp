#include "base/bytes.hpp"

#include <gtest/gtest.h>

namespace wgring {
namespace {

TEST(Bytes, loads_and_stores_are_inverse_and_of_the_named_order) {
  ByteArray<8> b{1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(load_le32(b.data()), 0x04030201U);
  EXPECT_EQ(load_le64(b.data()), 0x0807060504030201U);
  EXPECT_EQ(load_be16(b.data()), 0x0102U);
  EXPECT_EQ(load_be32(b.data()), 0x01020304U);
  EXPECT_EQ(load_be64(b.data()), 0x0102030405060708U);
  store_be64(b.data(), 0x1122334455667788U);
  EXPECT_EQ(b[0], 0x11);
  store_le64(b.data(), 0x1122334455667788U);
  EXPECT_EQ(b[0], 0x88);
}

// fault: zephyr-111082
TEST(BytesDeath, copy_into_a_smaller_span_is_a_bug) {
  ByteArray<2> small{};
  ByteArray<3> large{};
  EXPECT_DEATH(copy_bytes(small, large), "assertion failed");
}

}  // namespace
}  // namespace wgring

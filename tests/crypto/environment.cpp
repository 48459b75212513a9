// crypto/ wants initialise() once, before anything else; so does every test of it.
#include <gtest/gtest.h>

#include "crypto/random.hpp"
#include "crypto/self_test.hpp"

namespace wgring::crypto {
namespace {

class Initialised : public ::testing::Environment {
 public:
  void SetUp() override {
    // Before initialise() random bytes fail closed; this is the only place that can see it.
    ByteArray<32> bytes;
    bytes.fill(0xaa);
    ASSERT_FALSE(random_bytes(bytes));
    ASSERT_EQ(bytes, ByteArray<32>{});
    ASSERT_TRUE(initialise().has_value());
  }
};

const ::testing::Environment* const registered =
    ::testing::AddGlobalTestEnvironment(new Initialised);

}  // namespace
}  // namespace wgring::crypto

#include "noise/known_sources.hpp"

#include <gtest/gtest.h>

#include "tests/noise/seeded_entropy.hpp"
#include "tests/support/memory.hpp"

namespace wgring::noise {
namespace {

class KnownSourcesTest : public testing::Test {
 protected:
  KnownSourcesTest() { EXPECT_TRUE(known.open(memory.source(), entropy.entropy())); }

  static SocketAddress source(std::uint32_t number, std::uint16_t port = 51820) {
    SocketAddress address{.ip = {.family = Family::v4}, .port = port};
    store_be32(address.ip.bytes.data(), number);
    return address;
  }

  test::TestMemory memory;
  test::SeededEntropy entropy{7};
  KnownSources known;
};

TEST_F(KnownSourcesTest, KnowsWhatItWasToldAndNothingElse) {
  EXPECT_FALSE(known.knows(source(1)));
  known.note(source(1));
  EXPECT_TRUE(known.knows(source(1)));
  EXPECT_FALSE(known.knows(source(2)));
  EXPECT_FALSE(known.knows(source(1, 51821))) << "another port";
  SocketAddress v6 = source(1);
  v6.ip.family = Family::v6;
  EXPECT_FALSE(known.knows(v6)) << "the same bytes in another family";
}

TEST_F(KnownSourcesTest, OfTwoInOnePlaceTheLaterIsKnown) {
  constexpr std::uint32_t noted = 4 * KnownSources::places;
  for (std::uint32_t i = 0; i < noted; ++i) {
    known.note(source(i));
    ASSERT_TRUE(known.knows(source(i)));
  }
  std::size_t still = 0;
  for (std::uint32_t i = 0; i < noted; ++i) {
    still += known.knows(source(i)) ? 1U : 0U;
  }
  EXPECT_LE(still, KnownSources::places);
  EXPECT_GT(still, KnownSources::places / 2);
  for (std::uint32_t i = noted; i < 2 * noted; ++i) {
    ASSERT_FALSE(known.knows(source(i)));
  }
}

TEST_F(KnownSourcesTest, WithoutEntropyThereIsNone) {
  KnownSources none;
  entropy.set_mode(test::SeededEntropy::Mode::failing);
  EXPECT_FALSE(none.open(memory.source(), entropy.entropy()));
}

}  // namespace
}  // namespace wgring::noise

#include "noise/keypair.hpp"

#include <gtest/gtest.h>

#include "tests/noise/seeded_entropy.hpp"
#include "tests/support/memory.hpp"

namespace wgring::noise {
namespace {

// Section 10: every way a new session may meet the ones that are there.
class KeypairsTest : public testing::Test {
 protected:
  KeypairsTest() {
    EXPECT_TRUE(indices.open(memory.source(), 1024));
    EXPECT_TRUE(indices.ensure(64));
    EXPECT_TRUE(keypairs.open(memory.source(), 64));
    EXPECT_TRUE(keypairs.ensure_total(64));
  }
  [[nodiscard]] KeypairId fresh(Role role = Role::initiator) {
    const auto index =
        indices.insert(entropy.entropy(), {.kind = IndexKind::handshake, .id = 0}, 0, 0);
    Keypair session{TransportKeys{}, 0, role, Instant{}};
    session.local_index = index.value();
    return keypairs.create(std::move(session));
  }
  [[nodiscard]] bool alive(std::uint32_t index) const { return indices.find(index).has_value(); }

  test::TestMemory memory;
  test::SeededEntropy entropy{3};
  IndexTable indices{IndexMark{1, 0}};
  Keypairs keypairs{indices};
  KeypairSet set;
};

TEST_F(KeypairsTest, the_index_of_the_handshake_becomes_the_keypairs) {
  const KeypairId id = fresh();
  const auto found = indices.find(keypairs[id].local_index);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->kind, IndexKind::keypair);
  EXPECT_EQ(found->id, id);
}

TEST_F(KeypairsTest, initiator_moves_current_to_previous) {
  const KeypairId one = fresh();
  const KeypairId two = fresh();
  const KeypairId three = fresh();
  const std::uint32_t first_index = keypairs[one].local_index;
  keypairs.install_as_initiator(set, one);
  EXPECT_EQ(set.current, one);
  keypairs.install_as_initiator(set, two);
  EXPECT_EQ(set.current, two);
  EXPECT_EQ(set.previous, one);
  keypairs.install_as_initiator(set, three);
  EXPECT_EQ(set.previous, two);
  EXPECT_FALSE(alive(first_index));
  EXPECT_EQ(keypairs.used(), 2U);
}

TEST_F(KeypairsTest, initiator_prefers_an_unconfirmed_next_over_current_as_previous) {
  const KeypairId old = fresh();
  const KeypairId waiting = fresh(Role::responder);
  const KeypairId latest = fresh();
  const std::uint32_t old_index = keypairs[old].local_index;
  keypairs.install_as_initiator(set, old);
  keypairs.install_as_responder(set, waiting);
  keypairs.install_as_initiator(set, latest);
  EXPECT_EQ(set.previous, waiting);
  EXPECT_EQ(set.current, latest);
  EXPECT_EQ(set.next, no_keypair);
  EXPECT_FALSE(alive(old_index));
}

TEST_F(KeypairsTest, responder_waits_in_next_and_gives_up_previous) {
  const KeypairId one = fresh();
  const KeypairId two = fresh();
  const KeypairId three = fresh(Role::responder);
  const KeypairId four = fresh(Role::responder);
  const std::uint32_t third_index = keypairs[three].local_index;
  keypairs.install_as_initiator(set, one);
  keypairs.install_as_initiator(set, two);
  keypairs.install_as_responder(set, three);
  EXPECT_EQ(set.current, two);
  EXPECT_EQ(set.next, three);
  EXPECT_EQ(set.previous, no_keypair);
  keypairs.install_as_responder(set, four);
  EXPECT_EQ(set.next, four);
  EXPECT_FALSE(alive(third_index));
}

TEST_F(KeypairsTest, only_a_packet_under_next_confirms_it) {
  const KeypairId one = fresh();
  const KeypairId two = fresh(Role::responder);
  keypairs.install_as_initiator(set, one);
  keypairs.install_as_responder(set, two);
  EXPECT_FALSE(keypairs.confirm(set, one));
  EXPECT_EQ(set.next, two);
  EXPECT_TRUE(keypairs.confirm(set, two));
  EXPECT_EQ(set.current, two);
  EXPECT_EQ(set.previous, one);
  EXPECT_FALSE(keypairs.confirm(set, two));
}

TEST_F(KeypairsTest, clear_leaves_no_index_behind) {
  keypairs.install_as_initiator(set, fresh());
  keypairs.install_as_initiator(set, fresh());
  keypairs.install_as_responder(set, fresh(Role::responder));
  keypairs.clear(set);
  EXPECT_EQ(keypairs.used(), 0U);
  EXPECT_EQ(indices.size(), 0U);
}

TEST_F(KeypairsTest, expires_at_180_seconds_to_the_nanosecond) {
  const KeypairId id = fresh();
  EXPECT_FALSE(keypairs[id].expired(Instant{} + reject_after_time - Duration{1}));
  EXPECT_TRUE(keypairs[id].expired(Instant{} + reject_after_time));
  keypairs.install_as_initiator(set, id);
  keypairs.clear(set);
}

}  // namespace
}  // namespace wgring::noise

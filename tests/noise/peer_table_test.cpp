#include "noise/peer_table.hpp"

#include <map>
#include <random>

#include <gtest/gtest.h>

#include "tests/noise/seeded_entropy.hpp"
#include "tests/support/memory.hpp"

namespace wgring::noise {
namespace {

class PeerTableTest : public testing::Test {
 protected:
  PeerTableTest() { EXPECT_TRUE(table.open(memory.source(), entropy.entropy(), 1U << 16)); }

  [[nodiscard]] static crypto::PublicKey key(std::uint64_t number) {
    crypto::PublicKey out{};
    store_le64(out.data(), number);
    return out;
  }
  Peer& add(std::uint64_t number) {
    EXPECT_TRUE(table.ensure(1));
    return table.insert(key(number));
  }
  [[nodiscard]] std::vector<std::uint64_t> order() const {
    std::vector<std::uint64_t> all;
    table.for_each(
        [&](const Peer& peer) { all.push_back(load_le64(peer.remote.public_key.data())); });
    return all;
  }

  test::TestMemory memory;
  test::SeededEntropy entropy{1};
  PeerTable table;
};

TEST_F(PeerTableTest, an_empty_table_finds_nothing) {
  EXPECT_EQ(table.find(key(1)), nullptr);
  EXPECT_EQ(table.after(0), nullptr);
  EXPECT_EQ(table.by_serial(0), nullptr);
}

TEST_F(PeerTableTest, keeps_the_order_of_insertion_over_removals) {
  for (const std::uint64_t n : {5U, 3U, 9U, 1U, 7U}) {
    add(n);
  }
  table.remove(*table.find(key(9)));
  table.remove(*table.find(key(5)));
  table.remove(*table.find(key(7)));
  add(9);
  EXPECT_EQ(order(), (std::vector<std::uint64_t>{3, 1, 9}));
}

TEST_F(PeerTableTest, walks_by_serial_even_when_the_last_one_seen_was_removed) {
  for (std::uint64_t n = 1; n <= 5; ++n) {
    add(n);
  }
  Peer* const second = table.after(table.after(0)->serial);
  const std::uint64_t serial = second->serial;
  table.remove(*second);
  add(6);  // takes the id of the removed one, not its place
  ASSERT_NE(table.after(serial), nullptr);
  EXPECT_EQ(table.after(serial)->remote.public_key, key(3));
  EXPECT_EQ(table.by_serial(serial), nullptr);
}

TEST_F(PeerTableTest, equals_a_plain_map_over_random_operations) {
  std::mt19937_64 random(7);
  std::map<std::uint64_t, std::uint64_t> model;  // number -> serial
  for (int step = 0; step < 20'000; ++step) {
    const std::uint64_t number = random() % 700;
    Peer* const found = table.find(key(number));
    ASSERT_EQ(found != nullptr, model.contains(number));
    if (found == nullptr) {
      model[number] = add(number).serial;
    } else if (random() % 2 == 0) {
      ASSERT_EQ(found->serial, model[number]);
      table.remove(*found);
      model.erase(number);
    }
    ASSERT_EQ(table.count(), model.size());
  }
  for (const auto& [number, serial] : model) {
    ASSERT_EQ(table.find(key(number))->serial, serial);
  }
}

TEST_F(PeerTableTest, says_so_when_there_is_no_memory) {
  add(1);
  memory.set_commit_budget(memory.committed_bytes());
  EXPECT_FALSE(table.ensure(60'000));
  EXPECT_NE(table.find(key(1)), nullptr);
}

TEST_F(PeerTableTest, the_limit_is_a_limit) { EXPECT_FALSE(table.ensure((1U << 16) + 1)); }

TEST(PeerTable, does_not_open_without_randomness) {
  test::TestMemory memory;
  test::SeededEntropy entropy{1, test::SeededEntropy::Mode::failing};
  PeerTable table;
  EXPECT_FALSE(table.open(memory.source(), entropy.entropy(), 16));
}

}  // namespace
}  // namespace wgring::noise

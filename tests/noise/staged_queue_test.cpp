#include "noise/staged_queue.hpp"

#include <gtest/gtest.h>

#include "noise/constants.hpp"
#include "tests/noise/pools.hpp"

namespace wgring::noise {
namespace {

using test::TestPools;

// A packet of `bytes` bytes, all of value `mark`.
struct Sample {
  Sample(std::uint8_t mark, std::size_t bytes) : storage(bytes + plain_tailroom_bytes, mark) {}
  [[nodiscard]] Plain plain() {
    return {.data = storage.data(),
            .bytes = static_cast<std::uint32_t>(storage.size() - plain_tailroom_bytes)};
  }
  std::vector<std::uint8_t> storage;
};

[[nodiscard]] std::uint32_t push(StagedQueue& queue, TestPools& pools, std::uint8_t mark,
                                 std::size_t bytes) {
  Sample sample(mark, bytes);
  return queue.push(sample.plain(), pools.pools());
}

TEST(StagedQueue, gives_packets_back_in_order_with_their_bytes) {
  TestPools pools(128, 600);
  StagedQueue queue;
  EXPECT_EQ(push(queue, pools, 1, 20), 0U);
  EXPECT_EQ(push(queue, pools, 2, 1420), 0U);
  EXPECT_EQ(push(queue, pools, 3, 8920), 0U);  // too large for a packet slot
  EXPECT_EQ(queue.count(), 3U);
  for (const auto& [mark, bytes] : {std::pair{1, 20U}, std::pair{2, 1420U}, std::pair{3, 8920U}}) {
    EXPECT_EQ(queue.front_bytes(pools.pools()), bytes);
    const Staged staged = queue.pop(pools.pools());
    ASSERT_EQ(staged.bytes, bytes);
    EXPECT_EQ(staged.data[0], mark);
    EXPECT_EQ(staged.data[bytes - 1], mark);
    // The tail room is there and may be written.
    EXPECT_LE(staged.data + bytes + plain_tailroom_bytes,
              staged.slot.data() + staged.slot.bytes().size());
  }
  EXPECT_TRUE(queue.empty());
}

TEST(StagedQueue, holds_128_packets_and_the_oldest_makes_room) {
  TestPools pools(128, 600);
  StagedQueue queue;
  for (std::size_t i = 0; i < staged_packets_max; ++i) {
    EXPECT_EQ(push(queue, pools, static_cast<std::uint8_t>(i), 100), 0U);
  }
  EXPECT_EQ(push(queue, pools, 200, 100), 1U);
  EXPECT_EQ(queue.count(), staged_packets_max);
  EXPECT_EQ(queue.pop(pools.pools()).data[0], 1);
  EXPECT_EQ(queue.clear(pools.pools()), staged_packets_max - 1);
}

TEST(StagedQueue, leaves_the_reserve_to_others_and_counts_what_it_lost) {
  TestPools pools(128, 258);  // two above the reserve
  StagedQueue mine;
  StagedQueue other;
  EXPECT_EQ(push(mine, pools, 1, 100), 0U);
  EXPECT_EQ(push(mine, pools, 2, 100), 0U);
  EXPECT_EQ(push(mine, pools, 3, 100), 1U);   // its own oldest goes
  EXPECT_EQ(push(other, pools, 4, 100), 1U);  // nothing of its own to give up
  EXPECT_TRUE(other.empty());
  EXPECT_EQ(mine.pop(pools.pools()).data[0], 2);
  EXPECT_EQ(mine.pop(pools.pools()).data[0], 3);
}

TEST(StagedQueue, gives_up_nothing_that_lies_in_the_pool_which_is_not_short) {
  struct Row {
    const char* what;
    std::uint32_t trains;
    std::uint32_t packets;
    std::size_t staged_bytes;
    std::size_t fresh_bytes;
  };
  for (const Row& row : {Row{"no train", 64, 600, 100, 8920}, {"no packet", 128, 256, 8920, 100}}) {
    TestPools pools(row.trains, row.packets);  // the one that is short has its reserve only
    StagedQueue queue;
    EXPECT_EQ(push(queue, pools, 1, row.staged_bytes), 0U) << row.what;
    EXPECT_EQ(push(queue, pools, 2, row.staged_bytes), 0U) << row.what;
    EXPECT_EQ(push(queue, pools, 3, row.fresh_bytes), 1U) << row.what;
    EXPECT_EQ(queue.clear(pools.pools()), 2U) << row.what;
  }
}

TEST(StagedQueue, refuses_a_packet_that_fits_no_slot) {
  TestPools pools(128, 600);
  StagedQueue queue;
  EXPECT_EQ(push(queue, pools, 1, std::size_t{72} * 1024), 1U);
  EXPECT_TRUE(queue.empty());
}

TEST(StagedQueue, all_slots_are_home_after_clear) {
  TestPools pools(128, 600);
  StagedQueue queue;
  for (int i = 0; i < 300; ++i) {
    static_cast<void>(push(queue, pools, 1, i % 3 == 0 ? 4000 : 400));
  }
  EXPECT_LE(queue.count(), staged_packets_max);
  static_cast<void>(queue.clear(pools.pools()));
  EXPECT_EQ(pools.trains().available(), 128U);
  EXPECT_EQ(pools.packets().available(), 600U);
}

TEST(StagedQueueDeath, pop_of_an_empty_queue_is_a_bug) {
  TestPools pools(1, 1);
  StagedQueue queue;
  EXPECT_DEATH(static_cast<void>(queue.pop(pools.pools())), "assertion failed");
}

}  // namespace
}  // namespace wgring::noise

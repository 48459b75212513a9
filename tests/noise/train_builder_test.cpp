#include "noise/train_builder.hpp"

#include <memory>

#include <gtest/gtest.h>

#include "tests/noise/pools.hpp"

namespace wgring::noise {
namespace {

class TrainBuilderTest : public testing::Test {
 protected:
  TrainBuilderTest() {
    for (Peer* peer : {&a, &b}) {
      peer->endpoint.remote.ip = {.family = Family::v4, .bytes = {192, 0, 2, 1}};
    }
    a.endpoint.remote.port = 1;
    b.endpoint.remote.port = 2;
  }
  ~TrainBuilderTest() override { outbox->clear(); }

  [[nodiscard]] TrainBuilder turn(std::uint64_t number = 1) {
    return TrainBuilder{*outbox, pools_held, number};
  }
  [[nodiscard]] std::vector<std::uint16_t> counts() const {
    std::vector<std::uint16_t> all;
    for (const Transmit& train : outbox->transmits) {
      all.push_back(train.segment_count);
    }
    return all;
  }

  test::TestPools pools{200, 300};
  Pools pools_held = pools.pools();
  std::unique_ptr<Outbox> outbox = std::make_unique<Outbox>();
  Peer a;
  Peer b;
};

TEST_F(TrainBuilderTest, equal_sizes_join_and_lie_at_one_stride) {
  TrainBuilder trains = turn();
  std::uint8_t* const first = trains.data_segment(a, 1452, 0);
  std::uint8_t* const second = trains.data_segment(a, 1452, 0);
  EXPECT_EQ(second, first + 1452);
  ASSERT_EQ(outbox->transmits.size(), 1U);
  EXPECT_EQ(outbox->transmits[0].bytes, 2 * 1452U);
  EXPECT_EQ(outbox->transmits[0].stride_bytes, 1452U);
}

TEST_F(TrainBuilderTest, a_shorter_segment_is_the_last_of_its_train) {
  TrainBuilder trains = turn();
  for (const std::uint32_t bytes : {1000U, 1000U, 96U, 96U, 1000U}) {
    ASSERT_NE(trains.data_segment(a, bytes, 0), nullptr);
  }
  EXPECT_EQ(counts(), (std::vector<std::uint16_t>{3, 1, 1}));
}

TEST_F(TrainBuilderTest, a_longer_one_starts_a_train) {
  TrainBuilder trains = turn();
  for (const std::uint32_t bytes : {96U, 1000U}) {
    ASSERT_NE(trains.data_segment(a, bytes, 0), nullptr);
  }
  EXPECT_EQ(counts(), (std::vector<std::uint16_t>{1, 1}));
}

TEST_F(TrainBuilderTest, holds_64_segments_and_no_more_bytes_than_a_datagram_may) {
  TrainBuilder trains = turn();
  for (int i = 0; i < 65; ++i) {
    ASSERT_NE(trains.data_segment(a, 96, 0), nullptr);
  }
  EXPECT_EQ(counts(), (std::vector<std::uint16_t>{64, 1}));
  for (int i = 0; i < 8; ++i) {
    ASSERT_NE(trains.data_segment(b, 8952, 0), nullptr);
  }
  EXPECT_EQ(counts(), (std::vector<std::uint16_t>{64, 1, 7, 1}));
  EXPECT_LE(outbox->transmits[2].bytes, train_bytes_max);
}

TEST_F(TrainBuilderTest, flows_of_two_peers_that_alternate_still_make_two_trains) {
  TrainBuilder trains = turn();
  for (int i = 0; i < 5; ++i) {
    ASSERT_NE(trains.data_segment(a, 96, 0), nullptr);
    ASSERT_NE(trains.data_segment(b, 96, 0), nullptr);
  }
  EXPECT_EQ(counts(), (std::vector<std::uint16_t>{5, 5}));
  EXPECT_EQ(outbox->transmits[0].endpoint.remote.port, 1);
  EXPECT_EQ(outbox->transmits[1].endpoint.remote.port, 2);
}

TEST_F(TrainBuilderTest, another_ecn_or_endpoint_starts_a_train) {
  TrainBuilder trains = turn();
  ASSERT_NE(trains.data_segment(a, 96, 0), nullptr);
  ASSERT_NE(trains.data_segment(a, 96, 2), nullptr);
  a.endpoint.remote.port = 9;
  ASSERT_NE(trains.data_segment(a, 96, 2), nullptr);
  EXPECT_EQ(counts(), (std::vector<std::uint16_t>{1, 1, 1}));
}

TEST_F(TrainBuilderTest, a_train_of_an_earlier_turn_is_not_joined) {
  ASSERT_NE(turn(1).data_segment(a, 96, 0), nullptr);
  outbox->clear();
  ASSERT_NE(turn(2).data_segment(b, 96, 0), nullptr);
  ASSERT_NE(turn(2).data_segment(a, 96, 0), nullptr);
  EXPECT_EQ(counts(), (std::vector<std::uint16_t>{1, 1}));
}

TEST_F(TrainBuilderTest, says_so_when_slots_or_room_are_gone) {
  TrainBuilder trains = turn();
  EXPECT_EQ(trains.data_segment(a, train_bytes_max + 1, 0), nullptr);
  while (trains.room() > 0) {
    ASSERT_FALSE(trains.message(a.endpoint, 148, 0x88).empty());
  }
  EXPECT_TRUE(trains.message(a.endpoint, 148, 0x88).empty());
  EXPECT_EQ(trains.data_segment(a, 96, 0), nullptr);
}

}  // namespace
}  // namespace wgring::noise

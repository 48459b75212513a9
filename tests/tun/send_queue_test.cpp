#include "tun/engine/send_queue.hpp"

#include <memory>
#include <string>
#include <vector>

#include <errno.h>
#include <gtest/gtest.h>

namespace wgring::tun::test {
namespace {

class SendQueueTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(pools_.open()); }

  noise::Transmit train(std::uint32_t segments, std::uint32_t stride, std::uint32_t last,
                        bool small = false) {
    noise::Transmit transmit;
    transmit.slot = small ? pools_.packets().take() : pools_.trains().take();
    EXPECT_TRUE(transmit.slot);
    transmit.stride_bytes = stride;
    transmit.segment_count = static_cast<std::uint16_t>(segments);
    transmit.bytes = (segments - 1) * stride + last;
    transmit.endpoint.remote.ip.family = noise::Family::v4;
    transmit.endpoint.remote.port = 9;
    transmit.traffic_class = 0x88;
    return transmit;
  }
  std::vector<std::size_t> lengths() {
    queue_.describe(batch_);
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < batch_.size; ++i) {
      all.push_back(batch_.messages[i].msg_hdr.msg_iov->iov_len);
    }
    return all;
  }

  TrainPools pools_;
  SendQueue queue_;
  SendBatch batch_;
  EngineCounters counters_;
  RefusedSources refused_;
};

using Lengths = std::vector<std::size_t>;

TEST_F(SendQueueTest, DescribesSegmentsAcrossTrains) {
  queue_.push(train(3, 100, 40));
  queue_.push(train(1, 148, 148, true));
  EXPECT_EQ(lengths(), (Lengths{100, 100, 40, 148}));
  // Segments lie at their stride; name and control are shared inside a train.
  const auto* const first = static_cast<std::uint8_t*>(batch_.payloads[0].iov_base);
  EXPECT_EQ(batch_.payloads[2].iov_base, first + 200);
  EXPECT_EQ(batch_.messages[0].msg_hdr.msg_name, batch_.messages[2].msg_hdr.msg_name);
  EXPECT_NE(batch_.messages[0].msg_hdr.msg_name, batch_.messages[3].msg_hdr.msg_name);
  EXPECT_NE(batch_.messages[0].msg_hdr.msg_control, nullptr);
}

TEST_F(SendQueueTest, AdvanceMayStopInsideATrain) {
  queue_.push(train(3, 100, 40));
  queue_.push(train(2, 50, 50));
  queue_.advance(2, refused_);
  EXPECT_EQ(lengths(), (Lengths{40, 50, 50}));
  queue_.advance(2, refused_);
  EXPECT_EQ(lengths(), (Lengths{50}));
  EXPECT_EQ(pools_.trains().available(), train_count - 1);
  queue_.advance(1, refused_);
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(pools_.trains().available(), train_count);
}

TEST_F(SendQueueTest, ABatchHoldsSixtyFour) {
  for (int i = 0; i < 3; ++i) {
    queue_.push(train(30, 10, 10));
  }
  EXPECT_EQ(lengths().size(), 64U);
  queue_.advance(64, refused_);
  EXPECT_EQ(lengths().size(), 26U);
}

TEST_F(SendQueueTest, BothKindsOfSlotsAreBoundedApart) {
  while (queue_.has_room_for(train(1, 10, 10))) {
    queue_.push(train(1, 10, 10));
  }
  EXPECT_EQ(queue_.size(), SendQueue::trains_max);
  while (queue_.has_room_for(train(1, 10, 10, true))) {
    queue_.push(train(1, 10, 10, true));
  }
  EXPECT_EQ(queue_.size(), SendQueue::trains_max + SendQueue::packets_max);
  queue_.advance(1, refused_);
  EXPECT_TRUE(queue_.has_room_for(train(1, 10, 10)));
  EXPECT_FALSE(queue_.has_room_for(train(1, 10, 10, true)));
  EXPECT_EQ(queue_.clear(), SendQueue::trains_max + SendQueue::packets_max - 1);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(SendQueueTest, EveryErrorHasItsVerdict) {
  struct Row {
    int error;
    bool with_source;
    SendNext next;
    std::size_t left;  // of a train of three with one behind it
    std::uint64_t dropped;
  };
  const std::vector<Row> rows{
      {EINTR, true, SendNext::again, 4, 0},
      {EAGAIN, true, SendNext::wait, 4, 0},
      {EBADF, false, SendNext::fatal, 4, 0},
      {ENOTSOCK, false, SendNext::fatal, 4, 0},
      // The source is to blame first, the destination only afterwards.
      {EINVAL, true, SendNext::again, 4, 0},
      {EADDRNOTAVAIL, true, SendNext::again, 4, 0},
      {ENETUNREACH, true, SendNext::again, 4, 0},
      {ENODEV, true, SendNext::again, 4, 0},
      {EINVAL, false, SendNext::again, 1, 3},
      {EADDRNOTAVAIL, false, SendNext::again, 1, 3},
      {ENETUNREACH, false, SendNext::again, 1, 3},
      {EPERM, true, SendNext::again, 1, 3},
      {EHOSTUNREACH, true, SendNext::again, 1, 3},
      {ENETDOWN, true, SendNext::again, 1, 3},
      {EIO, true, SendNext::again, 1, 3},
      {ECONNREFUSED, true, SendNext::again, 1, 3},
      {ENOENT, true, SendNext::again, 1, 3},
      // About one datagram or one moment only.
      {EMSGSIZE, true, SendNext::again, 3, 1},
      {ENOBUFS, true, SendNext::again, 3, 1},
      {ENOMEM, true, SendNext::again, 3, 1},
  };
  for (const Row& row : rows) {
    counters_ = {};
    noise::Transmit head = train(3, 100, 40);
    if (row.with_source) {
      head.endpoint.source.ip.family = noise::Family::v4;
    }
    queue_.push(std::move(head));
    queue_.push(train(1, 10, 10));
    EXPECT_EQ(queue_.settle_failure(row.error, counters_, refused_), row.next) << row.error;
    EXPECT_EQ(lengths().size(), row.left) << row.error;
    EXPECT_EQ(counters_.send_errors.sum(), row.dropped) << row.error;
    queue_.clear();
  }
}

TEST_F(SendQueueTest, ATrainIsOneMessageWhereTheKernelCutsIt) {
  queue_.restart(Segmentation::on);
  queue_.push(train(64, 100, 40));
  queue_.push(train(1, 148, 148, true));
  EXPECT_EQ(lengths(), (Lengths{63 * 100 + 40, 148}));
  EXPECT_EQ(batch_.datagrams[0], 64);
  EXPECT_GT(batch_.messages[0].msg_hdr.msg_controllen, batch_.messages[1].msg_hdr.msg_controllen)
      << "UDP_SEGMENT on the train only";
  EXPECT_EQ(count_sent(batch_, 2, counters_), 65U);
  EXPECT_EQ(counters_.udp_sent, 65U);
  EXPECT_EQ(counters_.trains_sent, 1U);
  queue_.advance(65, refused_);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(SendQueueTest, SixtyFourSegmentsAreOneTooManyForSomeKernels) {
  queue_.restart(Segmentation::on);
  queue_.push(train(64, 100, 100));
  EXPECT_EQ(queue_.settle_failure(EINVAL, counters_, refused_), SendNext::again);
  EXPECT_EQ(lengths(), (Lengths{6300, 100}));
  EXPECT_LT(batch_.messages[1].msg_hdr.msg_controllen, batch_.messages[0].msg_hdr.msg_controllen)
      << "a single datagram does not ask to be cut";
  EXPECT_EQ(counters_.send_errors.sum(), 0U);
  // The one that is left is no run: what is said about it is about itself.
  queue_.advance(63, refused_);
  EXPECT_EQ(queue_.settle_failure(EIO, counters_, refused_), SendNext::again);
  EXPECT_EQ(counters_.segmentation_refused, 1U);
  EXPECT_EQ(counters_.send_errors.sum(), 1U);
  // Another socket is asked anew.
  queue_.restart(Segmentation::on);
  queue_.push(train(64, 100, 100));
  EXPECT_EQ(lengths(), Lengths{6400});
  queue_.clear();
}

TEST_F(SendQueueTest, AWayThatTakesNoTrainGivesBackTheSixtyFourthToOthers) {
  queue_.restart(Segmentation::on);
  queue_.push(train(64, 100, 100));
  EXPECT_EQ(queue_.settle_failure(EINVAL, counters_, refused_), SendNext::again);
  EXPECT_EQ(queue_.settle_failure(EINVAL, counters_, refused_), SendNext::again);
  EXPECT_EQ(lengths(), Lengths(64, 100));
  queue_.clear();
  noise::Transmit other = train(64, 100, 100);
  other.endpoint.remote.ip.bytes[3] ^= 1;
  queue_.push(std::move(other));
  EXPECT_EQ(lengths(), Lengths{6400});
  queue_.clear();
}

TEST_F(SendQueueTest, ASourceThatIsRefusedGivesBackTheSixtyFourth) {
  queue_.restart(Segmentation::on);
  noise::Transmit head = train(64, 100, 100);
  head.endpoint.source.ip.family = noise::Family::v4;
  queue_.push(std::move(head));
  while (counters_.sources_refused == 0) {
    ASSERT_EQ(queue_.settle_failure(EINVAL, counters_, refused_), SendNext::again);
    ASSERT_FALSE(queue_.empty());
  }
  queue_.clear();
  queue_.push(train(64, 100, 100));
  EXPECT_EQ(lengths(), Lengths{6400});
  queue_.clear();
}

TEST_F(SendQueueTest, ASourceIsNamedOnceAndNotForWantOfAWay) {
  const auto refuse = [this](std::uint8_t source, int error) {
    noise::Transmit head = train(1, 100, 100);
    head.endpoint.source.ip = {.family = noise::Family::v4, .bytes = {192, 0, 2, source}};
    queue_.push(std::move(head));
    EXPECT_EQ(queue_.settle_failure(error, counters_, refused_), SendNext::again);
    ASSERT_EQ(queue_.size(), 1U) << "it is sent without";
    queue_.advance(1, refused_);
  };
  refuse(1, ENETUNREACH);
  EXPECT_TRUE(refused_.empty());
  refuse(1, EINVAL);
  refuse(1, EINVAL);
  ASSERT_EQ(refused_.size(), 1U);
  EXPECT_EQ(refused_[0].ip.bytes[3], 1);
  for (std::uint8_t source = 2; source < 20; ++source) {
    refuse(source, EADDRNOTAVAIL);
  }
  EXPECT_EQ(refused_.size(), RefusedSources::capacity);
}

// As to an endpoint behind a blackhole: that peer alone is concerned.
TEST_F(SendQueueTest, ASourceIsNotNamedWhereTheSameIsRefusedWithoutIt) {
  for (const bool next_is_sent : {false, true}) {
    noise::Transmit head = train(1, 100, 100);
    head.endpoint.source.ip = {.family = noise::Family::v4, .bytes = {192, 0, 2, 1}};
    queue_.push(std::move(head));
    EXPECT_EQ(queue_.settle_failure(EINVAL, counters_, refused_), SendNext::again);
    EXPECT_EQ(queue_.settle_failure(EINVAL, counters_, refused_), SendNext::again);
    EXPECT_TRUE(queue_.empty());
    if (next_is_sent) {
      queue_.push(train(1, 100, 100));
      queue_.advance(1, refused_);
    }
    EXPECT_TRUE(refused_.empty());
  }
  EXPECT_EQ(counters_.sources_refused, 2U);
  EXPECT_EQ(counters_.send_errors.sum(), 2U);
}

TEST_F(SendQueueTest, WhatIsGivenUpIsCountedByDatagrams) {
  queue_.restart(Segmentation::on);
  queue_.push(train(3, 100, 40));
  EXPECT_EQ(queue_.settle_failure(ENOBUFS, counters_, refused_), SendNext::again);
  EXPECT_EQ(counters_.send_errors[IoError::no_buffers], 3U) << "a whole message";
  EXPECT_TRUE(queue_.empty());
  queue_.restart(Segmentation::off);
  queue_.push(train(3, 100, 40));
  queue_.advance(1, refused_);
  EXPECT_EQ(queue_.settle_failure(EPERM, counters_, refused_), SendNext::again);
  EXPECT_EQ(counters_.send_errors[IoError::not_permitted], 2U) << "the first was sent";
  queue_.push(train(3, 100, 40));
  queue_.advance(1, refused_);
  EXPECT_EQ(queue_.clear(), 2U);
}

TEST_F(SendQueueTest, APathWithoutSegmentationIsRememberedByDestination) {
  for (const int error : {EIO, EINVAL, EMSGSIZE, EOPNOTSUPP}) {
    queue_.restart(Segmentation::on);
    counters_ = {};
    queue_.push(train(3, 100, 40));
    queue_.push(train(2, 50, 50));
    EXPECT_EQ(queue_.settle_failure(error, counters_, refused_), SendNext::again);
    EXPECT_EQ(lengths(), (Lengths{100, 100, 40, 50, 50})) << error;
    EXPECT_EQ(counters_.segmentation_refused, 1U);
    EXPECT_EQ(counters_.send_errors.sum(), 0U) << "nothing is lost";
    queue_.advance(5, refused_);
    queue_.push(train(3, 100, 40));
    EXPECT_EQ(lengths().size(), 3U) << "and the next one too";
    noise::Transmit elsewhere = train(3, 100, 40);
    elsewhere.endpoint.remote.ip.bytes[0] = 1;
    queue_.push(std::move(elsewhere));
    EXPECT_EQ(lengths(), (Lengths{100, 100, 40, 240})) << "another destination is not concerned";
    // A refusal of single datagrams is about those.
    EXPECT_EQ(queue_.settle_failure(EIO, counters_, refused_), SendNext::again);
    EXPECT_EQ(counters_.send_errors.sum(), 3U);
    queue_.clear();
  }
}

TEST_F(SendQueueTest, ARunThatIsRefusedForItsSourceIsNotHeldAgainstThePath) {
  queue_.restart(Segmentation::on);
  noise::Transmit head = train(3, 100, 40);
  head.endpoint.source.ip.family = noise::Family::v4;
  queue_.push(std::move(head));
  EXPECT_EQ(queue_.settle_failure(EINVAL, counters_, refused_), SendNext::again);
  EXPECT_EQ(counters_.sources_refused, 0U) << "the run is asked about first";
  EXPECT_EQ(lengths().size(), 3U);
  EXPECT_EQ(queue_.settle_failure(EINVAL, counters_, refused_), SendNext::again);
  EXPECT_EQ(counters_.sources_refused, 1U);
  queue_.advance(3, refused_);
  EXPECT_EQ(refused_.size(), 1U);
  queue_.push(train(3, 100, 40));
  EXPECT_EQ(lengths().size(), 1U) << "whole again";
  queue_.clear();
}

TEST(RefusedDestinationsTest, AreTriedAgainAfterAWhile) {
  RefusedDestinations refused;
  noise::IpAddress ip{.family = noise::Family::v4};
  const Instant now{std::chrono::seconds{1000}};
  EXPECT_TRUE(refused.empty());
  refused.add(ip, now);
  EXPECT_TRUE(refused.contains(ip, now + RefusedDestinations::refused_for - Duration{1}));
  ip.bytes[0] = 1;
  EXPECT_FALSE(refused.contains(ip, now));
  ip.bytes[0] = 0;
  EXPECT_FALSE(refused.contains(ip, now + RefusedDestinations::refused_for));
  EXPECT_TRUE(refused.empty());
}

TEST(RefusedDestinationsTest, TheOldestMakesRoomAndOneIsForgottenAlone) {
  RefusedDestinations refused;
  const Instant now{std::chrono::seconds{1000}};
  const auto destination = [](std::size_t number) {
    noise::IpAddress ip{.family = noise::Family::v4};
    ip.bytes[0] = static_cast<std::uint8_t>(number);
    return ip;
  };
  constexpr std::size_t most = RefusedDestinations::destinations_max;
  for (std::size_t i = 0; i < most + 2; ++i) {
    refused.add(destination(i), now);
  }
  for (std::size_t i = 0; i < most + 2; ++i) {
    EXPECT_EQ(refused.contains(destination(i), now), i >= 2) << i;
  }
  refused.forget(destination(5));
  for (std::size_t i = 2; i < most + 2; ++i) {
    EXPECT_EQ(refused.contains(destination(i), now), i != 5) << i;
  }
}

TEST_F(SendQueueTest, TheRingGoesRound) {
  for (int i = 0; i < 1000; ++i) {
    queue_.push(train(1, 10, 10, true));
    queue_.push(train(1, 20, 20, true));
    EXPECT_EQ(lengths(), (Lengths{10, 20}));
    queue_.advance(2, refused_);
  }
  EXPECT_EQ(pools_.packets().available(), packet_count);
}

}  // namespace
}  // namespace wgring::tun::test

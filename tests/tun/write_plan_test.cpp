#include "tun/offload/write_plan.hpp"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "flow.hpp"
#include "noise/vnet_header.hpp"
#include "tests/noise/ip_packet.hpp"
#include "tun/offload/join_gate.hpp"
#include "tun/train_pool.hpp"

namespace wgring::tun::test {
namespace {

using noise::VnetHeader;
using wgring::test::Packet;

constexpr JoinPolicy everything{.tcp = true, .udp = true};

class WritePlanTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(pools_.open()); }

  // Packets of one UDP flow with a checksum that is not ours to judge.
  [[nodiscard]] static Packet udp(std::size_t payload, std::uint16_t port, std::uint16_t number) {
    Packet packet = wgring::test::v4_packet(8 + payload);
    store_be16(&packet[4], number);
    wgring::test::fix_v4_checksum(packet);
    store_be16(&packet[20], port);
    store_be16(&packet[24], static_cast<std::uint16_t>(8 + payload));
    store_be16(&packet[26], static_cast<std::uint16_t>(0x1000 + number));
    return packet;
  }
  // One Deliver of all.
  void add(const std::vector<Packet>& packets) {
    noise::Deliver run;
    run.slot = pools_.trains().take();
    run.first_inner = static_cast<std::uint32_t>(outbox_.inners.size());
    std::uint32_t at = 0;
    for (const Packet& packet : packets) {
      at += noise::inner_headroom_bytes;
      copy_bytes(run.slot.bytes().subspan(at), packet);
      noise::Inner inner;
      inner.offset_bytes = at;
      inner.bytes = static_cast<std::uint32_t>(packet.size());
      outbox_.inners.push_back(inner);
      at += inner.bytes;
      run.inner_count += 1;
    }
    outbox_.delivers.push_back(std::move(run));
  }
  [[nodiscard]] static Packet bytes_of(const iovec& piece) {
    const auto* const at = static_cast<const std::uint8_t*>(piece.iov_base);
    return Packet(at, at + piece.iov_len);
  }
  [[nodiscard]] static Packet with_plain_header(const Packet& packet) {
    Packet whole(VnetHeader::size);
    whole.insert(whole.end(), packet.begin(), packet.end());
    return whole;
  }

  TrainPools pools_;
  noise::Outbox outbox_;
  WritePlan plan_;
};

TEST_F(WritePlanTest, WithoutHeadersAPacketIsAWrite) {
  const std::vector<Packet> packets{udp(100, 1, 0), udp(100, 1, 1)};
  add(packets);
  plan_.build(outbox_, VnetMode::off, everything);
  ASSERT_EQ(plan_.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(bytes_of(plan_.pieces(plan_[i])[0]), packets[i]);
  }
}

TEST_F(WritePlanTest, RunsAreJoinedAcrossDeliversAndOthersKeepTheirPlace) {
  add({udp(100, 1, 0), udp(100, 1, 1)});
  add({udp(100, 1, 2)});
  add({udp(50, 2, 0)});
  plan_.build(outbox_, VnetMode::on, everything);
  ASSERT_EQ(plan_.size(), 2U);
  EXPECT_EQ(plan_[0].packets, 3U);
  EXPECT_EQ(plan_.pieces(plan_[0]).size(), 3U);
  const VnetHeader header =
      VnetHeader::load(static_cast<const std::uint8_t*>(plan_.pieces(plan_[0])[0].iov_base));
  EXPECT_EQ(header.gso_type, VnetHeader::gso_udp_l4);
  EXPECT_EQ(header.header_bytes, 28);
  EXPECT_EQ(header.segment_bytes, 100);
  EXPECT_EQ(plan_[1].packets, 1U);
  EXPECT_EQ(bytes_of(plan_.pieces(plan_[1])[0]), with_plain_header(udp(50, 2, 0)));
}

TEST_F(WritePlanTest, ARefusedRunBecomesThePacketsItWas) {
  for (const bool v4 : {true, false}) {
    for (const bool tcp : {true, false}) {
      wgring::test::Flow flow(v4, tcp, 1);
      std::vector<Packet> packets;
      for (int i = 0; i < 20; ++i) {
        packets.push_back(flow.next(i == 19 ? 7 : 300, i == 19));
      }
      outbox_.clear();
      add(packets);
      plan_.build(outbox_, VnetMode::on, everything);
      ASSERT_EQ(plan_.size(), 1U);
      std::vector<Packet> alone;
      plan_.unjoin(plan_[0], [&](const iovec& packet) { alone.push_back(bytes_of(packet)); });
      ASSERT_EQ(alone.size(), packets.size());
      for (std::size_t i = 0; i < packets.size(); ++i) {
        EXPECT_EQ(alone[i], with_plain_header(packets[i])) << i << (v4 ? " v4" : " v6");
      }
    }
  }
}

TEST_F(WritePlanTest, ARunInsideOneSlotIsJoinedInOnePiece) {
  std::vector<Packet> one;
  std::vector<Packet> two;
  for (std::uint16_t i = 0; i < 40; ++i) {  // two of them are more than the joiner holds
    one.push_back(udp(100, 1, i));
    two.push_back(udp(100, 2, i));
  }
  add(one);
  add(two);
  plan_.build(outbox_, VnetMode::on, everything);
  ASSERT_EQ(plan_.size(), 2U);
  EXPECT_EQ(plan_[0].packets, 40U);
  EXPECT_EQ(plan_[1].packets, 40U);
}

TEST(JoinGateTest, AfterARefusalNothingIsJoinedForAWhileThatGrows) {
  JoinGate gate;
  Instant now{std::chrono::seconds{1000}};
  EXPECT_FALSE(gate.shut());
  Duration pause = JoinGate::pause_min;
  for (int i = 0; i < 10; ++i) {
    gate.refused(now);
    gate.refused(now + Duration{1});  // was planned before
    EXPECT_TRUE(gate.shut());
    EXPECT_FALSE(gate.policy(everything, now + pause - Duration{1}).any());
    EXPECT_TRUE(gate.policy(everything, now + pause).any());
    EXPECT_FALSE(gate.shut());
    now += pause;
    pause = std::min(2 * pause, JoinGate::pause_max);
  }
}

TEST_F(WritePlanTest, ATrainLongerThanTheJoinerIsStillWritten) {
  std::vector<Packet> packets;
  for (std::uint16_t i = 0; i < noise::received_segments_max; ++i) {
    packets.push_back(udp(10, 1, i));
  }
  add(packets);
  plan_.build(outbox_, VnetMode::on, everything);
  std::size_t written = 0;
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    written += plan_[i].packets;
  }
  EXPECT_EQ(written, noise::received_segments_max);
  EXPECT_EQ(plan_.size(), 2U);
}

TEST_F(WritePlanTest, AnOutboxFullOfPacketsFits) {
  for (std::size_t i = 0; i < noise::wild_batch_max; ++i) {
    std::vector<Packet> packets;
    for (std::uint16_t n = 0; n < noise::train_segments_max; ++n) {
      packets.push_back(udp(10, static_cast<std::uint16_t>(n + i * 64), n));
    }
    add(packets);
  }
  plan_.build(outbox_, VnetMode::on, everything);
  EXPECT_EQ(plan_.size(), noise::wild_batch_max * noise::train_segments_max);
}

}  // namespace
}  // namespace wgring::tun::test

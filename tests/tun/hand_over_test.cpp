#include "tun/hand_over.hpp"

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tun/inlet.hpp"

namespace wgring::tun::test {
namespace {

// Bytes that tell number and size.
std::vector<std::uint8_t> packet_of(std::uint32_t number, std::size_t bytes) {
  std::vector<std::uint8_t> packet(bytes);
  std::iota(packet.begin(), packet.end(), static_cast<std::uint8_t>(number));
  return packet;
}
constexpr std::size_t size_of(std::uint32_t number) {
  return 20 + std::size_t{number} * 7919 % 65'500;
}

bool push(HandOver& ring, std::vector<std::uint8_t>& packet, std::uint16_t segment_bytes = 0) {
  return ring.push(noise::Plain{.data = packet.data(),
                                .bytes = static_cast<std::uint32_t>(packet.size()),
                                .offload = {.segment_bytes = segment_bytes}});
}

class HandOverTest : public testing::Test {
 protected:
  HandOverTest() { EXPECT_TRUE(ring.open()); }
  HandOver ring;
  HandOver::Batch batch;
};

TEST_F(HandOverTest, WhatIsPublishedIsTakenWithAllThatBelongsToIt) {
  auto packet = packet_of(7, 1408);  // a multiple of what records are rounded up to
  ASSERT_TRUE(push(ring, packet, 1300));
  EXPECT_TRUE(ring.empty());
  ring.take(batch);
  EXPECT_TRUE(batch.plains.empty()) << "not published yet";
  ring.publish();
  EXPECT_FALSE(ring.empty());
  ring.take(batch);
  ASSERT_EQ(batch.plains.size(), 1U);
  noise::Plain& taken = batch.plains[0];
  EXPECT_TRUE(std::equal(packet.begin(), packet.end(), taken.data, taken.data + taken.bytes));
  EXPECT_EQ(taken.offload.segment_bytes, 1300);
  EXPECT_TRUE(taken.handed);
  // The tailroom is ours: the next packet is not touched by it.
  auto next = packet_of(8, 100);
  ASSERT_TRUE(push(ring, next));
  ring.publish();
  std::fill_n(taken.data + taken.bytes, noise::plain_tailroom_bytes, std::uint8_t{0xee});
  batch.clear();
  ring.take(batch);
  ASSERT_EQ(batch.plains.size(), 1U);
  EXPECT_EQ(batch.plains[0].bytes, 100U);
  EXPECT_TRUE(std::equal(next.begin(), next.end(), batch.plains[0].data));
}

TEST_F(HandOverTest, InitiationsAreTakenAsTheyAre) {
  noise::HandedInitiation initiation;
  initiation.message.fill(0x5a);
  initiation.source.port = 1234;
  initiation.destination.interface_index = 9;
  initiation.shard = 3;
  ASSERT_TRUE(ring.push(initiation));
  ring.publish();
  ring.take(batch);
  ASSERT_EQ(batch.initiations.size(), 1U);
  EXPECT_EQ(batch.initiations[0].message, initiation.message);
  EXPECT_EQ(batch.initiations[0].source, initiation.source);
  EXPECT_EQ(batch.initiations[0].destination.interface_index, 9U);
}

// The giver's buffer is another's by the time they are read.
TEST_F(HandOverTest, StraysAreCopiedWhole) {
  std::vector<StrayDatagram> given;
  std::vector<std::vector<std::uint8_t>> buffers;  // theirs, to the end
  for (const std::size_t bytes : {32U, 1452U, 65'507U, 33U}) {
    auto& datagram = buffers.emplace_back(packet_of(static_cast<std::uint32_t>(bytes), bytes));
    StrayDatagram stray;
    stray.datagram = datagram;
    stray.ecn = 2;
    stray.source.port = static_cast<std::uint16_t>(bytes);
    stray.destination.interface_index = 9;
    ASSERT_TRUE(ring.push(stray));
    std::ranges::fill(datagram, std::uint8_t{0xee});
    given.push_back(stray);
  }
  ring.publish();
  ring.take(batch);
  ASSERT_EQ(batch.strays.size(), given.size());
  for (std::size_t i = 0; i < given.size(); ++i) {
    const StrayDatagram& taken = batch.strays[i];
    const auto expected =
        packet_of(static_cast<std::uint32_t>(given[i].datagram.size()), given[i].datagram.size());
    EXPECT_TRUE(std::ranges::equal(taken.datagram, expected)) << expected.size();
    EXPECT_EQ(taken.source, given[i].source);
    EXPECT_EQ(taken.destination, given[i].destination);
    EXPECT_EQ(taken.ecn, 2);
  }
}

TEST_F(HandOverTest, FullIsSaidAndPassesWithRelease) {
  auto packet = packet_of(0, 60'000);
  std::size_t count = 0;
  while (push(ring, packet)) {
    count += 1;
  }
  EXPECT_EQ(count, 8U);
  ring.publish();
  ring.take(batch);
  EXPECT_EQ(batch.plains.size(), count);
  EXPECT_FALSE(push(ring, packet)) << "taken is not released: the bytes are on loan";
  ring.release();
  EXPECT_TRUE(push(ring, packet));
}

TEST_F(HandOverTest, ABatchTakesWhatItHolds) {
  auto packet = packet_of(0, 40);
  for (std::size_t i = 0; i < noise::plain_batch_max + 5; ++i) {
    ASSERT_TRUE(push(ring, packet));
  }
  ring.publish();
  ring.take(batch);
  EXPECT_EQ(batch.plains.size(), noise::plain_batch_max);
  batch.clear();
  ring.take(batch);
  EXPECT_EQ(batch.plains.size(), 5U);
  EXPECT_TRUE(ring.empty());
}

// Many times around, all sizes, one thread each: all arrive, whole, in order. The preset tsan
// looks on.
// fault: FreeBSD-EN-24-06
TEST_F(HandOverTest, TwoThreadsLoseNothingAndKeepTheOrder) {
  constexpr std::uint32_t count = 3000;
  std::thread giver([&] {
    for (std::uint32_t i = 0; i < count; ++i) {
      auto packet = packet_of(i, size_of(i));
      while (!push(ring, packet)) {
        ring.publish();
        std::this_thread::yield();
      }
      if (i % 3 == 0) {
        ring.publish();
      }
    }
    ring.publish();
  });
  std::uint32_t next = 0;
  while (next < count) {
    ring.take(batch);
    for (const noise::Plain& taken : batch.plains) {
      const auto wanted = packet_of(next, size_of(next));
      ASSERT_EQ(taken.bytes, wanted.size());
      ASSERT_TRUE(std::equal(wanted.begin(), wanted.end(), taken.data)) << next;
      next += 1;
    }
    batch.clear();
    ring.release();
    std::this_thread::yield();
  }
  giver.join();
  EXPECT_TRUE(ring.empty());
}

// --- Inlet ---

TEST(Inlet, WhoGoesToSleepSeesWhatIsThereOrIsWoken) {
  Inlet inlet;
  ASSERT_TRUE(inlet.open(0, 2));
  EXPECT_TRUE(inlet.begin_sleep());
  auto packet = packet_of(1, 100);
  ASSERT_TRUE(push(inlet.from(1), packet));
  inlet.from(1).publish();
  inlet.rouse();
  std::uint64_t woken = 0;
  ASSERT_EQ(::read(inlet.wake_fd(), &woken, sizeof woken), 8);
  inlet.end_sleep();
  EXPECT_FALSE(inlet.begin_sleep()) << "there is something to take";
  // Awake it is left alone.
  inlet.rouse();
  EXPECT_EQ(::read(inlet.wake_fd(), &woken, sizeof woken), -1);
}

TEST(Inlet, AloneThereIsNothingToWaitFor) {
  Inlet inlet;
  ASSERT_TRUE(inlet.open(0, 1));
  EXPECT_TRUE(inlet.begin_sleep());
  inlet.for_each([](HandOver&, std::uint32_t) { FAIL(); });
}

}  // namespace
}  // namespace wgring::tun::test

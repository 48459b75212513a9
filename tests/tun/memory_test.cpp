// Memory, clocks and wake-ups: the small things that the shard stands on.
#include <chrono>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/region.hpp"
#include "crypto/aead.hpp"
#include "crypto/self_test.hpp"
#include "noise/device.hpp"
#include "noise/peer.hpp"
#include "tun/alarm.hpp"
#include "tun/clock.hpp"
#include "tun/entropy.hpp"
#include "tun/memory_source.hpp"
#include "tun/spsc_ring.hpp"
#include "tun/train_pool.hpp"
#include "tun/wake.hpp"

namespace wgring::tun::test {
namespace {

using namespace std::chrono_literals;

bool is_readable(int fd, int timeout_ms = 0) {
  pollfd at{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&at, 1, timeout_ms) == 1;
}

TEST(SystemMemory, GrowsInPlaceAndReadsAsZero) {
  SystemMemory memory;
  Region region;
  ASSERT_TRUE(region.reserve(memory.source(), std::size_t{1} << 32));
  ASSERT_TRUE(region.ensure(10));
  std::uint8_t* const at = region.data();
  EXPECT_EQ(at[0], 0);
  at[0] = 7;
  ASSERT_TRUE(region.ensure(std::size_t{3} << 20));
  EXPECT_EQ(region.data(), at);
  EXPECT_EQ(at[0], 7);
  EXPECT_EQ(at[(std::size_t{3} << 20) - 1], 0);
  EXPECT_GE(memory.committed_bytes(), std::size_t{3} << 20);
}

TEST(SystemMemoryDeathTest, BeyondTheCommittedPrefixIsNoMemory) {
  SystemMemory memory;
  Region region;
  ASSERT_TRUE(region.reserve(memory.source(), std::size_t{1} << 30));
  ASSERT_TRUE(region.ensure(1));
  EXPECT_DEATH(region.data()[std::size_t{1} << 29] = 1, "");
}

TEST(SystemMemory, AnImpossibleReservationIsRefused) {
  SystemMemory memory;
  Region region;
  EXPECT_FALSE(region.reserve(memory.source(), std::size_t{1} << 60));
}

TEST(SystemMemory, IsNotThereInAChild) {  // H75
  SystemMemory memory;
  Region region;
  ASSERT_TRUE(region.reserve(memory.source(), std::size_t{1} << 30));
  ASSERT_TRUE(region.ensure(1));
  region.data()[0] = 7;
  ASSERT_TRUE(region.ensure(std::size_t{1} << 20));
  region.data()[(std::size_t{1} << 20) - 1] = 7;
  TrainPools pools;
  ASSERT_TRUE(pools.open());
  const Slot slot = pools.trains().take();
  int ends[2] = {-1, -1};
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int there = 0;  // what the kernel can read for it
    for (const std::uint8_t* const at :
         {region.data(), region.data() + (std::size_t{1} << 20) - 1, slot.data()}) {
      there += ::write(ends[1], at, 1) == 1 ? 1 : 0;
    }
    ::_exit(there);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(::write(ends[1], region.data(), 1), 1) << "and is here";
  ::close(ends[0]);
  ::close(ends[1]);
}

std::size_t resident_bytes() {
  std::size_t all = 0;
  std::size_t resident = 0;
  std::ifstream{"/proc/self/statm"} >> all >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

TEST(SystemMemory, HoldsTheLargestDeviceAndNoneLarger) {
  constexpr std::uint32_t peers = std::uint32_t{1} << 20;
  ASSERT_TRUE(crypto::initialise());
  SystemMemory memory;
  TrainPools pools;
  ASSERT_TRUE(pools.open());
  auto device = noise::Device::open({.memory = memory.source(),
                                     .entropy = system_entropy(),
                                     .aead = &crypto::aead_boringssl(),
                                     .train_pool = &pools.trains(),
                                     .packet_pool = &pools.packets(),
                                     .shard = 0,
                                     .shard_bits = 0,
                                     .mark = noise::IndexMark{1, 0},
                                     .now = {}});
  ASSERT_TRUE(device) << device.error().what;
  const std::size_t committed = memory.committed_bytes();
  const std::size_t resident = resident_bytes();
  EXPECT_FALSE(device->reserve(peers + 1, 0));
  EXPECT_EQ(memory.committed_bytes(), committed);
  ASSERT_TRUE(device->reserve(peers, peers));
  EXPECT_GT(memory.committed_bytes(), std::size_t{peers} * (sizeof(noise::Peer) + 3 * 1024));
  EXPECT_LT(resident_bytes(), resident + (std::size_t{64} << 20)) << "nobody is there yet";
}

TEST(SystemEntropy, Fills) {
  ASSERT_TRUE(crypto::initialise());
  ByteArray<32> a{};
  ByteArray<32> b{};
  ASSERT_TRUE(system_entropy()(a));
  ASSERT_TRUE(system_entropy()(b));
  EXPECT_NE(a, b);
}

TEST(Clock, GoesOn) {
  const Now before = read_clock();
  std::this_thread::sleep_for(2ms);
  const Now after = read_clock();
  EXPECT_GE(after.boottime - before.boottime, 2ms);
  EXPECT_GT(before.realtime.time_since_epoch(), 24h * 365 * 50);
}

// fault: boringtun-clock
TEST(Clock, TimeThatGoesBackStandsStill) {
  const Now last = read_clock();
  const Now back{.boottime = last.boottime - 1h, .realtime = last.realtime - 1h};
  EXPECT_EQ(no_earlier(last, back).boottime, last.boottime);
  EXPECT_EQ(no_earlier(last, back).realtime, back.realtime) << "which may step either way";
  const Now on{.boottime = last.boottime + 1ns, .realtime = last.realtime};
  EXPECT_EQ(no_earlier(last, on).boottime, on.boottime);
}

TEST(TrainPools, SlotsAreDistinctAndComeBack) {
  TrainPools pools;
  ASSERT_TRUE(pools.open());
  EXPECT_EQ(pools.trains().available(), train_count);
  EXPECT_EQ(pools.packets().available(), packet_count);
  {
    Slot a = pools.trains().take();
    Slot b = pools.trains().take();
    Slot c = pools.packets().take();
    EXPECT_EQ(a.bytes().size(), train_slot_bytes);
    EXPECT_EQ(c.bytes().size(), packet_slot_bytes);
    EXPECT_GE(a.data() < b.data() ? b.data() - a.data() : a.data() - b.data(),
              static_cast<std::ptrdiff_t>(train_slot_bytes));
    EXPECT_EQ(pools.trains().available(), train_count - 2);
  }
  EXPECT_EQ(pools.trains().available(), train_count);
  EXPECT_EQ(pools.packets().available(), packet_count);
}

TEST(Wake, IsReadableUntilCleared) {
  Wake wake;
  ASSERT_TRUE(wake.open());
  EXPECT_FALSE(is_readable(wake.fd()));
  wake.wake();
  wake.wake();
  EXPECT_TRUE(is_readable(wake.fd()));
  wake.clear();
  EXPECT_FALSE(is_readable(wake.fd()));
  wake.clear();
}

TEST(Alarm, FiresAtTheDeadlineAndNotBefore) {
  Alarm alarm;
  ASSERT_TRUE(alarm.open());
  const Instant deadline = read_clock().boottime + 30ms;
  alarm.set(deadline);
  ASSERT_TRUE(is_readable(alarm.fd(), 20'000));
  EXPECT_GE(read_clock().boottime, deadline);
  alarm.clear();
  EXPECT_FALSE(is_readable(alarm.fd()));
}

TEST(Alarm, TheNearestDeadlineCounts) {
  Alarm alarm;
  ASSERT_TRUE(alarm.open());
  const Instant start = read_clock().boottime;
  alarm.set(never);
  alarm.set(start + 1h);
  alarm.set(start + 10ms);
  alarm.set(start + 2h);  // farther: the armed one may fire early
  ASSERT_TRUE(is_readable(alarm.fd(), 20'000));
  alarm.clear();
  alarm.set(start + 1h);
  EXPECT_FALSE(is_readable(alarm.fd(), 20));
  // Long past is due at once.
  alarm.set(Instant{});
  EXPECT_TRUE(is_readable(alarm.fd(), 20'000));
}

// fault: FreeBSD-EN-24-06
TEST(SpscRing, KeepsOrderBetweenTwoThreads) {
  SpscRing<std::uint32_t, 8> ring;
  constexpr std::uint32_t total = 100'000;
  std::thread producer([&] {
    for (std::uint32_t i = 0; i < total;) {
      i += ring.push(i) ? 1U : 0U;
    }
  });
  std::uint32_t expected = 0;
  std::uint32_t value = 0;
  bool in_order = true;
  while (expected < total) {
    if (ring.pop(value)) {
      in_order = in_order && value == expected;
      expected += 1;
    }
  }
  producer.join();
  EXPECT_TRUE(in_order);
  EXPECT_FALSE(ring.pop(value));
}

TEST(SpscRing, IsBounded) {
  SpscRing<int, 4> ring;
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(ring.push(i));
  }
  EXPECT_FALSE(ring.push(4));
  int value = -1;
  EXPECT_TRUE(ring.pop(value));
  EXPECT_EQ(value, 0);
  EXPECT_TRUE(ring.push(4));
}

}  // namespace
}  // namespace wgring::tun::test

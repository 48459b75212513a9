// DoorTest: the door as its threads, real sockets on loopback, and the rings to two shards.
#pragma once

#include <array>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <netinet/udp.h>

#include "crypto/secret.hpp"
#include "crypto/self_test.hpp"
#include "noise/identity.hpp"
#include "space.hpp"
#include "tun/clock.hpp"
#include "tun/door.hpp"
#include "tun/entropy.hpp"
#include "tun/memory_source.hpp"
#include "tun/udp_group.hpp"

namespace wgring::tun::test {

using namespace std::chrono_literals;

class DoorTest : public SpaceTest {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(crypto::initialise()); }

  void SetUp() override {
    SpaceTest::SetUp();
    ASSERT_TRUE(inlets[0].open(0, giver + 1));
    ASSERT_TRUE(inlets[1].open(1, giver + 1));
    start();
  }
  // Its threads may make the system calls that this one may.
  void start() {
    auto started = Door::start(
        {.memory = memory.source(), .entropy = system_entropy(), .mark = mark, .inlets = inlets});
    ASSERT_TRUE(started) << started.error().what;
    door = std::move(*started);
    ByteArray<32> key{};
    key.fill(0x22);
    ours.set(crypto::Secret<32>(key));
    remote.set_public_key(ours.public_key());
    door->set_mac_keys(ours.mac_keys());
    use(0);
  }
  void use(std::uint16_t port, ReceiveRuns runs = ReceiveRuns::off) {
    auto opened = UdpGroup::open(1, mark, port, 0, runs);
    ASSERT_TRUE(opened && !opened->door().empty());
    auto next = std::make_unique<UdpGroup>(std::move(*opened));
    door->set_sockets(next.get());
    group = std::move(next);
  }

  // Noise behind a valid mac1, and behind mac2 where `jar` has a cookie.
  [[nodiscard]] std::string initiation(std::uint32_t number, noise::CookieJar& jar) const {
    std::string text(noise::InitiationLayout::size, '\0');
    auto* const bytes = reinterpret_cast<std::uint8_t*>(text.data());
    bytes[0] = 1;
    store_le32(bytes + noise::InitiationLayout::sender_index, number);
    jar.add_macs({bytes, text.size()}, remote, read_clock().boottime);
    return text;
  }
  [[nodiscard]] std::string initiation(std::uint32_t number) const {
    noise::CookieJar jar;
    return initiation(number, jar);
  }
  // 512 initiations by one address. In trains, which are one call each: one by one they are no
  // flood where calls are slow.
  void flood_from(const Peer& peer) const {
    constexpr int trains = 8;
    std::string train;
    for (std::uint32_t i = 0; i < 64; ++i) {
      train += initiation(flood_number + i);
    }
    const int cut = noise::InitiationLayout::size;
    ASSERT_EQ(::setsockopt(peer.fd(), IPPROTO_UDP, UDP_SEGMENT, &cut, sizeof cut), 0);
    for (int i = 0; i < trains; ++i) {
      peer.send("127.0.0.1", group->port(), train);
    }
  }
  // What the shard gets, in time.
  std::vector<noise::HandedInitiation> taken(std::size_t wanted, Duration patience = 20s) {
    std::vector<noise::HandedInitiation> all;
    const Instant end = read_clock().boottime + patience;
    while (all.size() < wanted && read_clock().boottime < end) {
      inlet.from(giver).take(batch);
      all.insert(all.end(), batch.initiations.begin(), batch.initiations.end());
      inlet.from(giver).release();
      if (batch.initiations.empty()) {
        ::usleep(200);
      }
      batch.clear();
    }
    return all;
  }
  ShardStats stats() {
    ShardStats sum;
    door->add_stats(sum);
    return sum;
  }
  template <typename Done>
  bool wait_for(Done&& done) {
    const Instant end = read_clock().boottime + 20s;
    bool is_done = done();
    while (!is_done && read_clock().boottime < end) {
      ::usleep(1000);
      is_done = done();
    }
    return is_done;
  }

  void flood() {
    std::uint64_t sent = 0;
    const auto send = [&](std::uint32_t count, const std::string& from = "127.0.0.1") {
      const Peer peer(from.c_str());
      for (std::uint32_t i = 0; i < count; ++i) {
        peer.send("127.0.0.1", group->port(), initiation(i));
      }
      sent += count;
    };
    for (int burst = 0; burst < 10; ++burst) {
      send(2000);
      ::usleep(20'000);
      EXPECT_LE(stats().engine.strangers_received, sent) << "and calls are served meanwhile";
    }
    // The kernel tells of what it lost in a line with what comes after it in that.
    EXPECT_TRUE(wait_for([&] {
      send(1, any_address());
      ::usleep(10'000);
      const ShardStats seen = stats();
      return seen.engine.strangers_received + seen.engine.door_dropped == sent;
    }));
    while (!taken(1, 10ms).empty()) {
    }
    EXPECT_TRUE(wait_for([&] {
      send(1);
      return !taken(1, 300ms).empty();
    })) << "load is over";
  }

  std::string any_address() {
    std::string address = "127";
    for (int byte = 0; byte < 3; ++byte) {
      address += "." + std::to_string(random() % 200 + 2);
    }
    return address;
  }

  // None has the number of another initiation.
  static constexpr std::uint32_t flood_number = 1U << 30;
  static constexpr std::uint32_t giver = 2;  // the door, behind two shards
  static constexpr noise::IndexMark mark{0x9e37'79b1U, 0x1234'5678U};
  SystemMemory memory;
  std::array<Inlet, giver> inlets;
  Inlet& inlet = inlets[0];
  noise::LocalIdentity ours;
  noise::RemoteIdentity remote;
  std::unique_ptr<UdpGroup> group;
  std::unique_ptr<Door> door;  // ends before its sockets
  HandOver::Batch batch;
  std::mt19937 random{5};
};

}  // namespace wgring::tun::test

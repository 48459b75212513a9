// The real kernel chooses the queue: what is written to a socket is looked for in all of them.
#include "tun/steering.hpp"

#include <array>
#include <optional>
#include <string>

#include <linux/if_tun.h>

#include "denied.hpp"
#include "space.hpp"

namespace wgring::tun::test {
namespace {

constexpr std::uint32_t queues = 4;

noise::Prefix prefix(const char* address, std::uint8_t cidr) {
  noise::Prefix made{.address = {}, .cidr = cidr};
  const bool v6 = std::strchr(address, ':') != nullptr;
  made.address.family = v6 ? noise::Family::v6 : noise::Family::v4;
  EXPECT_EQ(::inet_pton(v6 ? AF_INET6 : AF_INET, address, made.address.bytes.data()), 1);
  return made;
}

class SteeringTest : public SpaceTest {
 protected:
  void SetUp() override {
    SpaceTest::SetUp();
    none.turn_off_tun("not in this test");
    auto created = TunDevice::create("wgt0", none, queues);
    ASSERT_TRUE(created) << created.error().what;
    device = std::move(*created);
    set_address("wgt0", "10.9.0.254");
  }

  void set(const char* address, std::uint8_t cidr, std::uint32_t shard) {
    const noise::PrefixWatch watch = steering.watch();
    watch.set(watch.context, prefix(address, cidr), shard);
  }
  void clear(const char* address, std::uint8_t cidr) {
    const noise::PrefixWatch watch = steering.watch();
    watch.clear(watch.context, prefix(address, cidr));
  }
  // The queue that gives `text` within a second, and no other one does; -1: none, or several.
  int queue_of(const std::string& text) {
    int found = -1;
    for (int look = 0; look < 100 && found == -1; ++look) {
      for (std::uint32_t i = 0; i < queues; ++i) {
        std::array<char, 2048> packet{};
        for (ssize_t bytes = 0; (bytes = ::read(device.queue(i), packet.data(), 2048)) > 0;) {
          const std::string all(packet.data(), static_cast<std::size_t>(bytes));
          if (all.ends_with(text)) {
            found = found == -1 ? static_cast<int>(i) : -2;
          }
        }
      }
      if (found == -1) {
        ::usleep(10'000);
      }
    }
    return found < 0 ? -1 : found;
  }
  int queue_to(const char* address) {
    const std::string text = "packet " + std::to_string(++packets);
    const bool v6 = std::strchr(address, ':') != nullptr;
    Peer(v6 ? "::" : "0.0.0.0").send(address, 7, text);
    return queue_of(text);
  }

  Offloads none;
  TunDevice device;
  Steering steering;
  int packets = 0;
};

TEST_F(SteeringTest, PacketsAreReadWhereTheLongestPrefixIs) {
  ASSERT_TRUE(steering.open(device.fd()));
  EXPECT_EQ(queue_to("10.9.0.1"), 0) << "nothing is known";
  set("0.0.0.0", 0, 3);
  set("10.9.0.77", 24, 1);  // host bits do not matter
  set("10.9.0.2", 32, 2);
  EXPECT_EQ(queue_to("10.9.0.1"), 1);
  EXPECT_EQ(queue_to("10.9.0.2"), 2);
  run("ip route add 10.8.0.0/16 dev wgt0");
  EXPECT_EQ(queue_to("10.8.0.1"), 3);
  set("10.9.0.0", 24, 0);
  EXPECT_EQ(queue_to("10.9.0.1"), 0);
  clear("10.9.0.2", 32);
  EXPECT_EQ(queue_to("10.9.0.2"), 0);
  clear("10.9.0.0", 24);
  EXPECT_EQ(queue_to("10.9.0.2"), 3);
  clear("10.9.0.0", 24);
  clear("10.9.0.99", 32);
  EXPECT_EQ(steering.refused(), 0U) << "what is not there is not an error";
}

TEST_F(SteeringTest, FamiliesAreApart) {
  ASSERT_TRUE(steering.open(device.fd()));
  run("sysctl -qw net.ipv6.conf.wgt0.disable_ipv6=0");
  add_v6("wgt0", "fd00:9::fe");
  set("0.0.0.0", 0, 1);
  EXPECT_EQ(queue_to("fd00:9::1"), 0);
  set("::", 0, 2);
  EXPECT_EQ(queue_to("fd00:9::1"), 2);
  EXPECT_EQ(queue_to("10.9.0.1"), 1);
  set("fd00:9::1", 128, 3);
  EXPECT_EQ(queue_to("fd00:9::1"), 3);
  EXPECT_EQ(queue_to("fd00:9::2"), 2);
  clear("::", 0);
  EXPECT_EQ(queue_to("fd00:9::2"), 0);
  EXPECT_EQ(queue_to("10.9.0.1"), 1);
}

// One flow of 10.9.0.254 and 10.9.0.1, both port 7000.
class FlowTest : public SteeringTest {
 protected:
  void SetUp() override {
    SteeringTest::SetUp();
    socket.emplace("10.9.0.254", 7000);
  }
  int queue_of_next() {
    const std::string text = "packet " + std::to_string(++packets);
    socket->send("10.9.0.1", 7000, text);
    return queue_of(text);
  }
  void write_answer(std::uint32_t queue) {
    ByteArray<29> packet{0x45, 0,  0, 29, 0,   0,    0,    0,    64,   17, 0, 0, 10, 9,  0,
                         1,    10, 9, 0,  254, 0x1b, 0x58, 0x1b, 0x58, 0,  9, 0, 0,  'x'};
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < 20; i += 2) {
      sum += load_be16(packet.data() + i);
    }
    store_be16(packet.data() + 10, static_cast<std::uint16_t>(~(sum + (sum >> 16))));
    ASSERT_EQ(::write(device.queue(queue), packet.data(), packet.size()), 29);
    ASSERT_EQ(socket->receive(), "x");
  }

  // A flow is read where its other direction was written last.
  void expect_the_kernels_own_way() {
    for (const std::uint32_t queue : {0U, 2U, 3U}) {
      write_answer(queue);
      EXPECT_EQ(queue_of_next(), static_cast<int>(queue));
    }
  }

  std::optional<Peer> socket;
};

TEST_F(FlowTest, WhatIsWrittenMovesNoFlow) {
  ASSERT_TRUE(steering.open(device.fd()));
  set("10.9.0.1", 32, 1);
  EXPECT_EQ(queue_of_next(), 1);
  for (const std::uint32_t queue : {0U, 2U, 3U}) {
    write_answer(queue);
    EXPECT_EQ(queue_of_next(), 1);
  }
}

TEST_F(FlowTest, TheNextOwnerOfATunIsNotSteered) {
  {
    Steering earlier;
    ASSERT_TRUE(earlier.open(device.fd()));
    const noise::PrefixWatch watch = earlier.watch();
    watch.set(watch.context, prefix("10.9.0.1", 32), 1);
    EXPECT_EQ(queue_of_next(), 1);
  }
  expect_the_kernels_own_way();
}

// An owner that was killed takes nothing away.
TEST_F(FlowTest, WhatADeadOwnerLeftIsTakenAwayAlsoWhereNothingComesInItsPlace) {
  Steering dead;
  ASSERT_TRUE(dead.open(device.fd()));
  const noise::PrefixWatch watch = dead.watch();
  watch.set(watch.context, prefix("10.9.0.1", 32), 1);
  EXPECT_EQ(queue_of_next(), 1);
  with_denied({.call = SYS_bpf, .error = EPERM}, [&] { EXPECT_FALSE(steering.open(device.fd())); });
  expect_the_kernels_own_way();
}

// As on a kernel before 5.8 that lets nobody without CAP_SYS_ADMIN change a map.
TEST_F(FlowTest, AMapThatCannotBeChangedIsGivenUp) {
  ASSERT_TRUE(steering.open(device.fd()));
  EXPECT_TRUE(steering.prove());
  EXPECT_TRUE(steering.is_open());
  with_denied({.call = SYS_bpf, .error = EPERM}, [&] {
    const Status proved = steering.prove();
    ASSERT_FALSE(proved);
    EXPECT_NE(proved.error().what.find("unprivileged_bpf_disabled"), std::string_view::npos);
  });
  EXPECT_FALSE(steering.is_open());
  EXPECT_EQ(steering.watch().set, nullptr);
  expect_the_kernels_own_way();
}

TEST_F(SteeringTest, AChangeThatIsRefusedIsCounted) {
  ASSERT_TRUE(steering.open(device.fd()));
  with_denied({.call = SYS_bpf, .error = ENOMEM}, [&] { set("10.9.0.0", 24, 2); });
  EXPECT_EQ(steering.refused(), 1U);
  EXPECT_EQ(queue_to("10.9.0.1"), 0);
  set("10.9.0.0", 24, 2);
  EXPECT_EQ(queue_to("10.9.0.1"), 2);
}

TEST_F(SteeringTest, WhereItIsRefusedNobodyIsTold) {
  for (const auto& [denied, reason] :
       {std::pair{Denied{.call = SYS_bpf, .error = EPERM}, "CAP_BPF"},
        std::pair{Denied{.call = SYS_ioctl,
                         .error = EINVAL,
                         .any_argument = false,
                         .argument = static_cast<std::uint32_t>(TUNSETSTEERINGEBPF),
                         .argument_number = 1},
                  "4.16"}}) {
    with_denied(denied, [&, why = std::string(reason)] {
      const Status opened = steering.open(device.fd());
      ASSERT_FALSE(opened);
      EXPECT_NE(opened.error().what.find(why), std::string_view::npos) << opened.error().what;
    });
    EXPECT_FALSE(steering.is_open());
    EXPECT_EQ(steering.watch().set, nullptr);
  }
}

}  // namespace
}  // namespace wgring::tun::test

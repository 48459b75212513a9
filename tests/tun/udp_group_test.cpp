#include "tun/udp_group.hpp"

#include <random>

#include <gtest/gtest.h>
#include <netinet/udp.h>

#include "noise/messages.hpp"
#include "space.hpp"

namespace wgring::tun::test {
namespace {

constexpr std::uint32_t bits = 2;
constexpr noise::IndexMark mark{0x9e37'79b1U, 0x1234'5678U};

class UdpGroupTest : public SpaceTest {};

constexpr int door = 1 << bits;
constexpr int unmarked = door + 1;

// Which shard's socket got the one datagram that is on its way, or the door; -1: none.
int arrived(const UdpGroup& group, bool v6) {
  std::array<pollfd, unmarked + 1> fds{};
  for (std::uint32_t i = 0; i < fds.size(); ++i) {
    const UdpPair& pair = i == door       ? *group.door()
                          : i == unmarked ? *group.unmarked()
                                          : group.of(i);
    fds[i] = {.fd = v6 ? pair.v6() : pair.v4(), .events = POLLIN, .revents = 0};
  }
  if (::poll(fds.data(), fds.size(), 2000) != 1) {
    return -1;
  }
  for (std::uint32_t i = 0; i < fds.size(); ++i) {
    char byte = 0;
    if (::recv(fds[i].fd, &byte, 1, MSG_DONTWAIT) >= 0) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

std::string message(noise::MessageType type, std::size_t bytes, std::size_t index_at,
                    std::uint32_t index) {
  std::string text(bytes, '\0');
  text[0] = static_cast<char>(type);
  if (index_at > 0) {
    store_le32(reinterpret_cast<std::uint8_t*>(text.data()) + index_at, index);
  }
  return text;
}

TEST_F(UdpGroupTest, AnswersAndDataGoToTheShardTheirIndexNames) {
  const auto group = UdpGroup::open(bits, mark, 0, 0);
  ASSERT_TRUE(group) << group.error().what;
  for (const bool v6 : {false, true}) {
    const char* const address = v6 ? "::1" : "127.0.0.1";
    const Peer peer(address);
    const auto where = [&](const std::string& text) {
      peer.send(address, group->port(), text);
      return arrived(*group, v6);
    };
    for (const std::uint32_t seed : {0xabcdef00U, 0x01U, 0xfffffffeU, 0x1233U}) {
      const std::uint32_t index = mark.put_on(seed);
      const int shard = static_cast<int>(index & 3U);
      EXPECT_EQ(where(message(noise::MessageType::response, 92, 8, index)), shard);
      EXPECT_EQ(where(message(noise::MessageType::cookie_reply, 64, 4, index)), shard);
      EXPECT_EQ(where(message(noise::MessageType::data, 32, 4, index)), shard);
      EXPECT_EQ(where(message(noise::MessageType::data, 1452, 4, index)), shard);
      EXPECT_EQ(where(message(noise::MessageType::initiation, 148, 4, index)), door);
      for (const std::uint32_t forged : {index ^ 0x0100'0000U, index ^ 0x8000'0000U}) {
        EXPECT_EQ(where(message(noise::MessageType::response, 92, 8, forged)), unmarked);
        EXPECT_EQ(where(message(noise::MessageType::cookie_reply, 64, 4, forged)), unmarked);
        EXPECT_EQ(where(message(noise::MessageType::data, 32, 4, forged)), unmarked);
        EXPECT_EQ(where(message(noise::MessageType::data, 1452, 4, forged)), unmarked);
      }
    }
    EXPECT_EQ(where(std::string(500, '\7')), door);
    // Too short to be any message.
    for (const std::string& junk : {std::string(), std::string(1, '\4'), std::string(4, '\2'),
                                    std::string(1, '\2'), std::string(31, '\4')}) {
      EXPECT_EQ(where(junk), door) << junk.size();
    }
  }
}

TEST_F(UdpGroupTest, TheKernelComputesTheMarkAsWeDo) {
  std::mt19937 random{7};
  for (int secret = 0; secret < 4; ++secret) {
    const noise::IndexMark drawn{static_cast<std::uint32_t>(random()),
                                 static_cast<std::uint32_t>(random())};
    const auto group = UdpGroup::open(bits, drawn, 0, 0);
    ASSERT_TRUE(group) << group.error().what;
    const Peer peer("127.0.0.1");
    const auto where = [&](std::uint32_t index) {
      peer.send("127.0.0.1", group->port(), message(noise::MessageType::data, 32, 4, index));
      return arrived(*group, false);
    };
    for (int i = 0; i < 200; ++i) {
      const auto index = i == 0 ? 0 : static_cast<std::uint32_t>(random());
      const int shard = static_cast<int>(index & 3U);
      ASSERT_EQ(where(drawn.put_on(index)), shard) << index;
      ASSERT_EQ(where(index), drawn.is_on(index) ? shard : unmarked) << index;
    }
  }
}

TEST_F(UdpGroupTest, AllSendFromTheOnePort) {
  const auto group = UdpGroup::open(bits, mark, 0, 0x51);
  ASSERT_TRUE(group);
  for (std::uint32_t i = 0; i < 1U << bits; ++i) {
    EXPECT_EQ(group->of(i).port(), group->port());
    EXPECT_EQ(group->of(i).fwmark(), 0x51U);
  }
  ASSERT_NE(group->door(), nullptr);
}

TEST_F(UdpGroupTest, APortThatSomeoneHasIsRefusedAlsoIfTheyWouldShareIt) {
  const auto first = UdpGroup::open(bits, mark, 0, 0);
  ASSERT_TRUE(first);
  for (const std::uint32_t shard_bits : {0U, bits}) {
    const auto second = UdpGroup::open(shard_bits, mark, first->port(), 0);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().errno_value, EADDRINUSE);
  }
  const Peer busy("::1", 50123);
  EXPECT_EQ(UdpGroup::open(bits, mark, 50123, 0).error().errno_value, EADDRINUSE);
}

TEST_F(UdpGroupTest, OneShardHasADoorToo) {
  const auto group = UdpGroup::open(0, mark, 0, 0);
  ASSERT_TRUE(group);
  ASSERT_NE(group->door(), nullptr);
  for (const bool v6 : {false, true}) {
    const char* const address = v6 ? "::1" : "127.0.0.1";
    const Peer peer(address);
    const auto gets = [&](const UdpPair& pair, const std::string& text) {
      peer.send(address, group->port(), text);
      pollfd at{.fd = v6 ? pair.v6() : pair.v4(), .events = POLLIN, .revents = 0};
      char byte = 0;
      return ::poll(&at, 1, 2000) == 1 && ::recv(at.fd, &byte, 1, MSG_DONTWAIT) == 1;
    };
    EXPECT_TRUE(gets(*group->door(), message(noise::MessageType::initiation, 148, 4, 1)));
    EXPECT_TRUE(
        gets(group->of(0), message(noise::MessageType::response, 92, 8, mark.put_on(0xffffffffU))));
    EXPECT_TRUE(
        gets(group->of(0), message(noise::MessageType::data, 32, 4, mark.put_on(0xffffffffU))));
  }
}

// The kernel asks any of them whether datagrams may be joined.
TEST_F(UdpGroupTest, AllTakeRunsOrNone) {
  for (const ReceiveRuns runs : {ReceiveRuns::off, ReceiveRuns::on}) {
    const auto group = UdpGroup::open(0, mark, 0, 0, runs);
    ASSERT_TRUE(group && group->door() != nullptr);
    for (const int fd :
         {group->of(0).v4(), group->door()->v4(), group->door()->v6(), group->unmarked()->v4()}) {
      int joins = -1;
      socklen_t bytes = sizeof joins;
      ASSERT_EQ(::getsockopt(fd, IPPROTO_UDP, UDP_GRO, &joins, &bytes), 0);
      EXPECT_EQ(joins != 0, runs == ReceiveRuns::on);
    }
  }
}

TEST_F(UdpGroupTest, TheMarkIsSetOnAll) {
  auto group = UdpGroup::open(bits, mark, 0, 0);
  ASSERT_TRUE(group);
  ASSERT_TRUE(group->set_fwmark(7));
  for (std::uint32_t i = 0; i < 1U << bits; ++i) {
    EXPECT_EQ(group->of(i).fwmark(), 7U);
  }
  EXPECT_EQ(group->door()->fwmark(), 7U);
  EXPECT_EQ(group->unmarked()->fwmark(), 7U);
}

}  // namespace
}  // namespace wgring::tun::test

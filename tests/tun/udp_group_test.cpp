#include "tun/udp_group.hpp"

#include <algorithm>
#include <random>
#include <set>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/udp.h>
#include <sys/resource.h>

#include "crypto/self_test.hpp"
#include "denied.hpp"
#include "noise/messages.hpp"
#include "space.hpp"

namespace wgring::tun::test {
namespace {

constexpr std::uint32_t bits = 2;
constexpr noise::IndexMark mark{0x9e37'79b1U, 0x1234'5678U};

class UdpGroupTest : public SpaceTest {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(crypto::initialise()); }
};

constexpr int door = 1 << bits;  // its first line
constexpr int lines = static_cast<int>(UdpGroup::line_count);
constexpr int junk = door + 2 * lines;

bool is_line(int place) { return place >= door && place < junk; }

// Which shard's socket got the one datagram that is on its way, or which of the door; -1: none.
int arrived(const UdpGroup& group, bool v6) {
  std::array<pollfd, junk + 1> fds{};
  for (std::uint32_t i = 0; i < fds.size(); ++i) {
    const UdpPair& pair = i < door ? group.of(i) : group.door()[i - door];
    fds[i] = {.fd = v6 ? pair.v6() : pair.v4(), .events = POLLIN, .revents = 0};
  }
  if (::poll(fds.data(), fds.size(), 20'000) != 1) {
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
      EXPECT_TRUE(is_line(where(message(noise::MessageType::initiation, 148, 4, index))));
      for (const std::uint32_t forged : {index ^ 0x0100'0000U, index ^ 0x8000'0000U}) {
        EXPECT_EQ(where(message(noise::MessageType::response, 92, 8, forged)), junk);
        EXPECT_EQ(where(message(noise::MessageType::cookie_reply, 64, 4, forged)), junk);
        EXPECT_EQ(where(message(noise::MessageType::data, 32, 4, forged)), junk);
        EXPECT_EQ(where(message(noise::MessageType::data, 1452, 4, forged)), junk);
      }
    }
    EXPECT_EQ(where(std::string(500, '\7')), junk);
    EXPECT_EQ(where(message(noise::MessageType::initiation, 147, 4, 1)), junk);
    EXPECT_EQ(where(message(noise::MessageType::initiation, 32, 4, 1)), junk);
    // Too short to be any message.
    for (const std::string& short_one : {std::string(), std::string(1, '\4'), std::string(4, '\2'),
                                         std::string(1, '\2'), std::string(31, '\4')}) {
      EXPECT_EQ(where(short_one), junk) << short_one.size();
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
      ASSERT_EQ(where(index), drawn.is_on(index) ? shard : junk) << index;
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
  ASSERT_EQ(group->door().size(), UdpGroup::door_count);
  for (const UdpPair& pair : group->door()) {
    EXPECT_EQ(pair.port(), group->port());
    EXPECT_EQ(pair.fwmark(), 0x51U);
  }
  EXPECT_EQ(&group->junk(), &group->door().back());
}

std::string initiation() { return message(noise::MessageType::initiation, 148, 4, 1); }

TEST_F(UdpGroupTest, AStrangersLineIsThatOfItsAddress) {
  std::mt19937 random{11};
  std::array<int, 2 * UdpGroup::line_count> found{};
  const auto group = UdpGroup::open(bits, mark, 0, 0);
  ASSERT_TRUE(group) << group.error().what;
  for (int i = 0; i < 400; ++i) {
    const auto address = 0x7f00'0000U | (static_cast<std::uint32_t>(random()) & 0x00ff'fffeU);
    const in_addr numeric{.s_addr = htonl(address | 2U)};
    std::array<char, INET_ADDRSTRLEN> text{};
    ASSERT_NE(::inet_ntop(AF_INET, &numeric, text.data(), text.size()), nullptr);
    int first = -1;
    for (int round = 0; round < 2; ++round) {
      const Peer peer(text.data());  // of another port each time, and to another address of ours
      peer.send(round == 0 ? "127.0.0.1" : "127.9.8.7", group->port(),
                round == 0 ? initiation() : initiation() + initiation());
      const int place = arrived(*group, false);
      ASSERT_TRUE(is_line(place));
      ASSERT_TRUE(round == 0 || place == first) << text.data();
      first = place;
    }
    found[static_cast<std::size_t>(first - door)] += 1;
  }
  const std::span<const int> counts{found};
  for (const int count : counts.first(lines)) {
    EXPECT_GT(count, 0);
    EXPECT_LT(count, 100);
  }
  EXPECT_EQ(std::ranges::max(counts.subspan(lines)), 0);
}

TEST_F(UdpGroupTest, WhoHasAMac2HasLinesOfItsOwn) {
  const auto group = UdpGroup::open(bits, mark, 0, 0);
  ASSERT_TRUE(group) << group.error().what;
  const Peer peer("127.0.0.1");
  const auto where = [&](const std::string& text) {
    peer.send("127.0.0.1", group->port(), text);
    return arrived(*group, false);
  };
  const int without = where(initiation());
  ASSERT_LT(without, door + lines);
  for (std::size_t at = noise::InitiationLayout::mac2; at < noise::InitiationLayout::size; ++at) {
    std::string text = initiation();
    text[at] = '\x80';
    EXPECT_EQ(where(text), without + lines) << at;
  }
  std::string mac1 = initiation();
  mac1[noise::InitiationLayout::mac2 - 1] = '\1';
  EXPECT_EQ(where(mac1), without);
}

TEST_F(UdpGroupTest, OfIPv6TheLineIsThatOfThe64) {
  add_v6("lo", "fd00:1:2:3::1");
  std::array<int, 2 * UdpGroup::line_count> found{};
  for (int subnet = 0; subnet < 100; ++subnet) {
    run("ip addr add fd00:1:" + std::to_string(subnet * 37) + "::1/64 dev lo nodad");
    run("ip addr add fd00:1:" + std::to_string(subnet * 37) + ":0:ab:cd:1:2/64 dev lo nodad");
  }
  const auto group = UdpGroup::open(bits, mark, 0, 0);
  ASSERT_TRUE(group) << group.error().what;
  for (int subnet = 0; subnet < 100; ++subnet) {
    int first = -1;
    for (const char* const host : {"::1", ":0:ab:cd:1:2"}) {
      const Peer peer(("fd00:1:" + std::to_string(subnet * 37) + host).c_str());
      peer.send("fd00:1:2:3::1", group->port(), initiation());
      const int place = arrived(*group, true);
      ASSERT_TRUE(is_line(place));
      ASSERT_TRUE(first < 0 || place == first) << subnet;
      first = place;
    }
    found[static_cast<std::size_t>(first - door)] += 1;
  }
  EXPECT_GT(std::ranges::count_if(found, [](int count) { return count > 0; }), 2);
}

TEST_F(UdpGroupTest, WhichLineIsASecretOfTheGroup) {
  std::set<int> places;
  for (int i = 0; i < 20; ++i) {
    const auto group = UdpGroup::open(bits, mark, 0, 0);
    ASSERT_TRUE(group) << group.error().what;
    const Peer peer("127.0.0.1");
    peer.send("127.0.0.1", group->port(), initiation());
    places.insert(arrived(*group, false));
  }
  EXPECT_GT(places.size(), 2U);
}

TEST_F(UdpGroupTest, TheLinesAreDrawnAnew) {
  const auto group = UdpGroup::open(bits, mark, 0, 0);
  ASSERT_TRUE(group) << group.error().what;
  const Peer peer("127.0.0.1");
  std::set<int> places;
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(group->draw_lines());
    peer.send("127.0.0.1", group->port(), initiation());
    places.insert(arrived(*group, false));
    ASSERT_TRUE(is_line(*places.begin()) && is_line(*places.rbegin()));
  }
  EXPECT_GT(places.size(), 4U) << "of sixteen";
  peer.send("127.0.0.1", group->port(), message(noise::MessageType::data, 32, 4, mark.put_on(1)));
  EXPECT_EQ(arrived(*group, false), 1);
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
  for (const bool v6 : {false, true}) {
    const char* const address = v6 ? "::1" : "127.0.0.1";
    const Peer peer(address);
    const auto gets = [&](const UdpPair& pair, const std::string& text) {
      peer.send(address, group->port(), text);
      pollfd at{.fd = v6 ? pair.v6() : pair.v4(), .events = POLLIN, .revents = 0};
      char byte = 0;
      return ::poll(&at, 1, 20'000) == 1 && ::recv(at.fd, &byte, 1, MSG_DONTWAIT) == 1;
    };
    peer.send(address, group->port(), initiation());
    std::array<pollfd, UdpGroup::door_count> strangers{};
    for (std::size_t i = 0; i < strangers.size(); ++i) {
      const UdpPair& pair = group->door()[i];
      strangers[i] = {.fd = v6 ? pair.v6() : pair.v4(), .events = POLLIN, .revents = 0};
    }
    EXPECT_EQ(::poll(strangers.data(), strangers.size(), 20'000), 1);
    EXPECT_TRUE(
        gets(group->of(0), message(noise::MessageType::response, 92, 8, mark.put_on(0xffffffffU))));
    EXPECT_TRUE(
        gets(group->of(0), message(noise::MessageType::data, 32, 4, mark.put_on(0xffffffffU))));
  }
}

TEST_F(UdpGroupTest, WhereProgramsAreRefusedOneShardGetsAll) {
  const Denied programs{.call = SYS_setsockopt,
                        .error = ENOPROTOOPT,
                        .any_argument = false,
                        .argument = SO_ATTACH_REUSEPORT_CBPF,
                        .argument_number = 2};
  with_denied(programs, [] {
    const auto group = UdpGroup::open(0, mark, 0, 0);
    ASSERT_TRUE(group) << group.error().what;
    EXPECT_TRUE(group->door().empty());
    EXPECT_EQ(group->no_door().errno_value, ENOPROTOOPT);
    const Peer peer("127.0.0.1");
    peer.send("127.0.0.1", group->port(), initiation());
    pollfd at{.fd = group->of(0).v4(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&at, 1, 20'000), 1);
    EXPECT_EQ(UdpGroup::open(bits, mark, 0, 0).error().errno_value, ENOPROTOOPT);
  });
}

TEST_F(UdpGroupTest, WantOfDescriptorsIsNoMissingDoor) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const Fd next{::dup(0)};
  const rlimit few{.rlim_cur = static_cast<rlim_t>(next.get()) + 20, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const auto group = UdpGroup::open(0, mark, 0, 0);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().errno_value, EMFILE);
}

// The kernel asks any of them whether datagrams may be joined.
TEST_F(UdpGroupTest, AllTakeRunsOrNone) {
  for (const ReceiveRuns runs : {ReceiveRuns::off, ReceiveRuns::on}) {
    const auto group = UdpGroup::open(0, mark, 0, 0, runs);
    ASSERT_TRUE(group && !group->door().empty());
    for (const int fd :
         {group->of(0).v4(), group->door()[0].v4(), group->door()[1].v6(), group->junk().v4()}) {
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
  for (const UdpPair& pair : group->door()) {
    EXPECT_EQ(pair.fwmark(), 7U);
  }
}

}  // namespace
}  // namespace wgring::tun::test

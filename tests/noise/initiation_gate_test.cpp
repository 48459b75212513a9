// Protocol 6 and 7 at the door: on a virtual clock, with messages of a real initiator.
#include "noise/initiation_gate.hpp"

#include <string>

#include <gtest/gtest.h>

#include "tests/noise/handshake_pair.hpp"
#include "tests/support/memory.hpp"

namespace wgring::noise {
namespace {

using namespace std::chrono_literals;

constexpr IndexMark mark{0x9e37'79b1U, 0x1234'5678U};

class InitiationGateTest : public testing::Test {
 protected:
  InitiationGateTest() {
    EXPECT_TRUE(gate.open(memory.source()));
    gate.set_mac_keys(pair.responder.local.mac_keys());
    source.ip.family = Family::v4;
    source.ip.bytes = {192, 0, 2, 7};
    source.port = 40'000;
  }

  // The next of the initiator, with a cookie if it has one.
  InitiationBytes initiation() {
    wall += 5s;
    InitiationBytes message = pair.initiate(wall);
    pair.initiator.jar.add_macs(message, pair.initiator.remote, now);
    return message;
  }
  // Of one who knows our public key and nothing else: noise, a valid mac1, no cookie.
  InitiationBytes junk() {
    InitiationBytes message{};
    message[0] = 1;
    store_le32(&message[InitiationLayout::ephemeral], next_junk);
    next_junk += 1;
    CookieJar().add_macs(message, pair.initiator.remote, now);
    return message;
  }
  [[nodiscard]] std::optional<Drop> refuse(Bytes message) {
    return gate.refuse(message, source, now, reply);
  }
  // From then on a second of load.
  void begin_load() {
    while (!refuse(junk())) {
      ASSERT_LT(next_junk, 10'000U);
    }
  }
  std::size_t let_in(std::size_t messages) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < messages; ++i) {
      count += refuse(junk()) ? 0U : 1U;
    }
    return count;
  }

  test::TestMemory memory;
  Pair pair;
  InitiationGate gate{pair.random.source(), mark};
  SocketAddress source{.ip = {}, .port = 51820};
  ByteArray<CookieReplyLayout::size> reply{};
  WallTime wall = wall_start;
  Instant now = start_of_time;
  std::uint32_t next_junk = 0;
};

TEST_F(InitiationGateTest, WithoutLoadNoCookieIsAsked) {
  for (std::size_t i = 0; i < under_load_handshakes; ++i) {
    ASSERT_EQ(refuse(initiation()), std::nullopt) << i;
  }
  for (int second = 0; second < 10; ++second) {
    now += 1s;
    EXPECT_EQ(let_in(500), 500U);
  }
}

TEST_F(InitiationGateTest, UnderLoadACookieIsAnsweredAndThenItsHolderIsLetIn) {
  begin_load();
  const InitiationBytes first = initiation();
  ASSERT_EQ(refuse(first), Drop::cookie_sent);
  EXPECT_EQ(load_le32(&reply[CookieReplyLayout::receiver_index]),
            load_le32(&first[InitiationLayout::sender_index]));
  ASSERT_TRUE(pair.initiator.jar.consume_reply(reply, pair.initiator.remote, now));
  now += 500ms;
  const InitiationBytes second = initiation();
  source.port += 1;
  EXPECT_EQ(refuse(second), Drop::cookie_sent) << "of another port";
  source.port -= 1;
  source.ip.bytes[3] ^= 1;
  EXPECT_EQ(refuse(second), Drop::cookie_sent) << "of another address";
  source.ip.bytes[3] ^= 1;
  EXPECT_EQ(refuse(second), std::nullopt);
}

TEST_F(InitiationGateTest, UnderLoadNobodyIsLetInWithoutACookie) {
  begin_load();
  EXPECT_EQ(let_in(100'000), 0U);
  for (int tenth = 0; tenth < 100; ++tenth) {
    now += 100ms;
    EXPECT_EQ(let_in(100), 0U) << tenth << ": as many come in each second as began it";
  }
}

TEST_F(InitiationGateTest, LoadIsOverOneSecondAfterItsFloodWas) {
  begin_load();
  now += 1s - 1ns;
  EXPECT_EQ(refuse(initiation()), Drop::cookie_sent);
  now += 1ns;
  EXPECT_EQ(refuse(initiation()), std::nullopt);
}

TEST_F(InitiationGateTest, LoadBeginsWhereOneIsToldOfIt) {
  EXPECT_EQ(refuse(initiation()), std::nullopt);
  gate.begin_load(now);
  EXPECT_EQ(refuse(initiation()), Drop::cookie_sent);
  now += under_load_hold;
  EXPECT_EQ(refuse(initiation()), std::nullopt);
}

TEST_F(InitiationGateTest, AProvenSourceHasFiveAtOnceAndTwentyASecond) {
  begin_load();
  ASSERT_EQ(refuse(initiation()), Drop::cookie_sent);
  ASSERT_TRUE(pair.initiator.jar.consume_reply(reply, pair.initiator.remote, now));
  const InitiationBytes proven = initiation();
  std::size_t count = 0;
  for (int i = 0; i < 100; ++i) {
    const std::optional<Drop> refused = refuse(proven);
    EXPECT_TRUE(!refused || *refused == Drop::rate_limited);
    count += refused ? 0U : 1U;
  }
  EXPECT_EQ(count, 5U);
  for (int i = 0; i < 1000; ++i) {
    now += 1ms;
    EXPECT_EQ(refuse(junk()), Drop::cookie_sent) << "as many come";
    count += refuse(proven) ? 0U : 1U;
  }
  EXPECT_EQ(count, 25U);
}

TEST_F(InitiationGateTest, WhatIsNotForUsIsKeptOutAndIsNoLoad) {
  InitiationBytes message = initiation();
  message[InitiationLayout::mac1] ^= 1;
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_EQ(refuse(message), Drop::bad_mac1);
  }
  for (const std::size_t bytes : {0U, 1U, 31U, 32U, 92U, 147U, 149U, 1500U}) {
    std::vector<std::uint8_t> text(bytes, 0);
    for (std::uint8_t type = 0; type <= 5; ++type) {
      if (!text.empty()) {
        text[0] = type;
      }
      const bool names_one = receiver_index_of(classify(text), text).has_value();
      ASSERT_EQ(refuse(text), names_one ? Drop::unknown_index : Drop::malformed)
          << bytes << ", type " << int{type};
    }
  }
  message = initiation();
  message[1] = 1;
  EXPECT_EQ(refuse(message), Drop::malformed) << "reserved bytes";
  EXPECT_EQ(refuse(initiation()), std::nullopt);
}

TEST_F(InitiationGateTest, NobodyIsAtPortZero) {
  source.port = 0;
  EXPECT_EQ(refuse(initiation()), Drop::malformed);
  source.port = 1;
  EXPECT_EQ(refuse(initiation()), std::nullopt);
}

TEST_F(InitiationGateTest, WithoutAnIdentityNobodyIsLetIn) {
  gate.set_mac_keys(std::nullopt);
  EXPECT_EQ(refuse(initiation()), Drop::no_identity);
  gate.set_mac_keys(pair.initiator.local.mac_keys());
  EXPECT_EQ(refuse(initiation()), Drop::bad_mac1) << "for whom we were";
  gate.set_mac_keys(pair.responder.local.mac_keys());
  EXPECT_EQ(refuse(initiation()), std::nullopt);
}

TEST_F(InitiationGateTest, AllThatIsKeptOutIsCounted) {
  begin_load();
  const std::uint64_t cookies = gate.drops()[Drop::cookie_sent];
  EXPECT_EQ(cookies, 1U);
  EXPECT_EQ(let_in(10), 0U);
  EXPECT_EQ(gate.drops()[Drop::cookie_sent], 11U);
  EXPECT_EQ(refuse(ByteArray<3>{}), Drop::malformed);
  EXPECT_EQ(gate.drops()[Drop::malformed], 1U);
}

// What names one of our indices is for the shard, and no matter of the gate.
TEST_F(InitiationGateTest, WhatNamesNoIndexOfOursIsKnownByItsMark) {
  const auto message = [](MessageType type, std::size_t bytes, std::size_t at,
                          std::uint32_t index) {
    std::vector<std::uint8_t> made(bytes);
    made[0] = static_cast<std::uint8_t>(type);
    store_le32(made.data() + at, index);
    return made;
  };
  const std::uint32_t ours = mark.put_on(0x00c0'ffeeU);
  std::uint64_t unknown = 0;
  for (const auto& [type, bytes, at] :
       {std::tuple{MessageType::response, ResponseLayout::size, ResponseLayout::receiver_index},
        {MessageType::cookie_reply, CookieReplyLayout::size, CookieReplyLayout::receiver_index},
        {MessageType::data, DataLayout::size_min, DataLayout::receiver_index},
        {MessageType::data, std::size_t{1452}, DataLayout::receiver_index}}) {
    const auto forged = message(type, bytes, at, ours ^ 0x0100'0000U);
    EXPECT_EQ(gate.marked_index(forged), std::nullopt);
    EXPECT_EQ(refuse(forged), Drop::unknown_index);
    EXPECT_EQ(gate.drops()[Drop::unknown_index], ++unknown);
    const auto genuine = message(type, bytes, at, ours);
    EXPECT_EQ(gate.marked_index(genuine), ours);
    EXPECT_EQ(refuse(genuine), Drop::malformed) << "a copy";
  }
  EXPECT_EQ(gate.marked_index(message(MessageType::data, 31, 4, ours)), std::nullopt);
  EXPECT_EQ(gate.marked_index(message(MessageType::initiation, 148, 4, ours)), std::nullopt);
  EXPECT_EQ(refuse(message(MessageType::data, 31, 4, ours)), Drop::malformed);
}

TEST_F(InitiationGateTest, NeedsMemoryAndEntropy) {
  InitiationGate blind{failing_entropy, mark};
  EXPECT_FALSE(blind.open(memory.source()));
  test::TestMemory none{0};
  InitiationGate homeless{pair.random.source(), mark};
  EXPECT_FALSE(homeless.open(none.source()));
}

}  // namespace
}  // namespace wgring::noise

// Two Devices of one identity, each with half of the peers: what one has to hand to the other.
#include <gtest/gtest.h>

#include "noise/messages.hpp"
#include "noise/shard_of.hpp"
#include "tests/sim/host.hpp"
#include "tests/sim/inner.hpp"
#include "tests/sim/test_access.hpp"

namespace wgring::sim {
namespace {

using noise::CoreTestAccess;
using noise::Drop;
using noise::MessageType;
using namespace std::chrono_literals;

constexpr std::uint64_t our_seed = 1;

// The first seed from `from` on whose public key lives on `shard` of two.
std::uint64_t seed_on(std::uint32_t shard, std::uint64_t from) {
  while (noise::shard_of(public_of(key_of(from)), 1) != shard) {
    from += 1;
  }
  return from;
}

class Shards : public testing::Test {
 protected:
  Shards() {
    for (Host* const host : {&here, &there, &even, &odd}) {
      host->device().set_link(true, now(), host->outbox);
    }
    for (Host* const host : {&here, &there}) {
      add(*host, even);
      add(*host, odd);
    }
    add(even, here);
    add(odd, here);
  }
  ~Shards() override {
    for (Host* const host : {&here, &there, &even, &odd}) {
      host->outbox.clear();
      host->device().set_link(false, now(), host->outbox);
      EXPECT_TRUE(host->slots_are_home());
    }
  }

  // Time stands still.
  [[nodiscard]] static Now now() { return {.boottime = Instant{1h}, .realtime = WallTime{1h}}; }
  void add(Host& on, const Host& peer, std::optional<std::uint16_t> keepalive_s = {}) {
    const noise::AllowedIpChange prefix[] = {
        {.prefix = tunnel_prefix(noise::Family::v4, peer.number())}};
    noise::PeerUpdate update;
    update.public_key = peer.public_key();
    update.endpoint = peer.v4;
    update.persistent_keepalive_s = keepalive_s;
    update.allowed_ips = prefix;
    ASSERT_TRUE(on.device().apply_peer(update, now(), on.outbox));
  }

  // One packet of `from`'s TUN; `from` is here or there, or a peer.
  void send(Host& from, const Host& to, bool handed = false) {
    const Host& sender = &from == &there ? here : from;
    packet_ = make_inner({.from = sender.number(), .to = to.number(), .bytes = 96});
    packet_.resize(96 + noise::plain_tailroom_bytes);
    give_plain(from, {.data = packet_.data(), .bytes = 96, .handed = handed});
  }
  void give_plain(Host& to, const noise::Plain& packet) {
    ASSERT_EQ(to.device().on_tun({&packet, 1}, now(), to.outbox), 1U);
  }
  // What the shard threads do with these.
  void hand_over(Host& from, Host& to) {
    const auto plains = from.outbox.handed_plains;
    const auto initiations = from.outbox.handed_initiations;
    from.outbox.clear();
    for (const noise::HandedPlain& handed : plains) {
      noise::Plain packet = handed.packet;
      packet.handed = true;
      give_plain(to, packet);
    }
    if (!initiations.empty()) {
      to.device().on_initiations({initiations.begin(), initiations.size()}, now(), to.outbox);
    }
  }
  // All of `from`'s datagrams, each a train of one, to `to` whoever they are addressed to.
  void carry(Host& from, Host& to) {
    FixedVector<noise::Wild, noise::wild_batch_max> wilds;
    for (const noise::Transmit& train : from.outbox.transmits) {
      noise::Wild& wild = wilds.push_back({});
      wild.slot = to.trains().take();
      wild.bytes = train.bytes;
      wild.source = &from == &there ? here.v4 : from.v4;
      copy_bytes(wild.slot.bytes().first(train.bytes),
                 Bytes{train.slot.bytes()}.first(train.bytes));
    }
    from.outbox.clear();
    to.device().on_udp({wilds.begin(), wilds.size()}, now(), to.outbox);
  }
  [[nodiscard]] static MessageType type_of(const noise::Transmit& train) {
    return noise::classify(Bytes{train.slot.bytes()}.first(train.bytes));
  }
  [[nodiscard]] static std::uint64_t drops(const Host& host, Drop drop) {
    return host.device().drops()[drop];
  }

  std::vector<std::uint8_t> packet_;
  Host here{{.position = 0, .seed = our_seed, .shard = 0, .shard_bits = 1}, now()};
  Host there{{.position = 1, .seed = our_seed, .shard = 1, .shard_bits = 1}, now()};
  Host even{{.position = 2, .seed = seed_on(0, 100)}, now()};
  Host odd{{.position = 3, .seed = seed_on(1, 100)}, now()};
};

TEST_F(Shards, APacketGoesToTheShardOfItsPeer) {
  send(here, odd);
  EXPECT_TRUE(here.outbox.transmits.empty());
  ASSERT_EQ(here.outbox.handed_plains.size(), 1U);
  EXPECT_EQ(here.outbox.handed_plains[0].shard, 1U);
  EXPECT_EQ(here.device().next_deadline().at, never) << "nothing of it is this shard's affair";
  hand_over(here, there);
  ASSERT_EQ(there.outbox.transmits.size(), 1U);
  EXPECT_EQ(type_of(there.outbox.transmits[0]), MessageType::initiation);
  carry(there, odd);
  ASSERT_EQ(odd.outbox.transmits.size(), 1U);
  // The answer names the shard: what steers datagrams needs no table either.
  const Bytes answer = Bytes{odd.outbox.transmits[0].slot.bytes()};
  EXPECT_EQ(load_le32(answer.data() + noise::ResponseLayout::receiver_index) & 1U, 1U);
  carry(odd, there);
  carry(there, odd);
  ASSERT_EQ(odd.outbox.delivers.size(), 1U);
  EXPECT_EQ(odd.outbox.inners.size(), 1U);
}

TEST_F(Shards, APacketForAPeerOfThisShardStays) {
  send(here, even);
  EXPECT_TRUE(here.outbox.handed_plains.empty());
  ASSERT_EQ(here.outbox.transmits.size(), 1U);
  EXPECT_EQ(type_of(here.outbox.transmits[0]), MessageType::initiation);
}

// fault: firezone-source
TEST_F(Shards, AnInitiationGoesToTheShardOfItsPeer) {
  send(odd, here);
  carry(odd, here);
  EXPECT_TRUE(here.outbox.transmits.empty());
  ASSERT_EQ(here.outbox.handed_initiations.size(), 1U);
  EXPECT_EQ(here.outbox.handed_initiations[0].shard, 1U);
  EXPECT_EQ(CoreTestAccess::index_count(here.device()), 0U);
  hand_over(here, there);
  ASSERT_EQ(there.outbox.transmits.size(), 1U);
  EXPECT_EQ(type_of(there.outbox.transmits[0]), MessageType::response);
  EXPECT_EQ(there.outbox.transmits[0].endpoint.remote, odd.v4) << "whence it came to the first";
  carry(there, odd);
  carry(odd, there);
  EXPECT_EQ(there.outbox.inners.size(), 1U);
}

// fault: vpp-cookies
TEST_F(Shards, WhatWasLetInIsNotAskedForACookieAgain) {
  send(odd, here);
  carry(odd, here);
  // `there` comes under load; `here`, which let it in, is not.
  ByteArray<noise::InitiationLayout::size> junk{};
  junk[0] = 1;
  for (std::size_t i = 0; i < noise::under_load_handshakes; ++i) {
    ASSERT_TRUE(CoreTestAccess::queue_handshake(there.device(), junk, even.v4));
  }
  hand_over(here, there);
  for (int turn = 0; turn < 64 && there.outbox.transmits.empty(); ++turn) {
    there.device().on_deadline(now(), there.outbox);
  }
  ASSERT_EQ(there.outbox.transmits.size(), 1U);
  EXPECT_EQ(type_of(there.outbox.transmits[0]), MessageType::response);
  EXPECT_EQ(drops(there, Drop::cookie_sent), 0U);
}

TEST_F(Shards, APacketIsHandedOverOnce) {
  send(here, odd, true);
  EXPECT_TRUE(here.outbox.empty());
  EXPECT_EQ(drops(here, Drop::no_route), 1U);
}

TEST_F(Shards, PeersOfAnotherShardAreSilent) {
  add(here, odd, 25);
  EXPECT_TRUE(here.outbox.empty());
  add(there, odd, 25);
  EXPECT_EQ(there.outbox.transmits.size(), 1U);
  there.outbox.clear();
  for (Host* const host : {&here, &there}) {
    host->device().set_link(false, now(), host->outbox);
    host->device().set_link(true, now(), host->outbox);
  }
  EXPECT_TRUE(here.outbox.empty());
  EXPECT_EQ(there.outbox.transmits.size(), 1U);
}

TEST_F(Shards, AllListTheSamePeersAndWhereTheyLive) {
  noise::PeerStatus one;
  noise::PeerStatus other;
  for (std::uint64_t serial = 0; here.device().next_peer(serial, one); serial = one.serial) {
    ASSERT_TRUE(there.device().next_peer(serial, other));
    EXPECT_EQ(one.serial, other.serial);
    EXPECT_EQ(one.public_key, other.public_key);
    EXPECT_EQ(one.shard, other.shard);
    EXPECT_EQ(one.shard, one.public_key == odd.public_key() ? 1U : 0U);
  }
}

TEST_F(Shards, InitiationsHandedOverWhileTheLinkIsDownAreCounted) {
  send(odd, here);
  carry(odd, here);
  there.device().set_link(false, now(), there.outbox);
  hand_over(here, there);
  EXPECT_TRUE(there.outbox.empty());
  EXPECT_EQ(drops(there, Drop::link_down), 1U);
}

}  // namespace
}  // namespace wgring::sim

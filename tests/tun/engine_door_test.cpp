// What every engine must do with those who come to the door, on each engine.
#include <chrono>
#include <memory>

#include "engine_rig.hpp"
#include "tun/udp_group.hpp"

namespace wgring::tun::test {
namespace {

using namespace std::chrono_literals;

template <typename E>
class EngineDoorTest : public EngineRig<E> {
 protected:
  // Sockets and a door, in place of the pair; nullptr: it failed. A loan until the next call.
  const UdpGroup* use_group() {
    auto group = UdpGroup::open(0, 0, 0);
    EXPECT_TRUE(group && group->door_of(0) != nullptr);
    if (!group) {
      return nullptr;
    }
    auto next = std::make_unique<UdpGroup>(std::move(*group));
    this->engine_->set_sockets(&next->of(0), next->door_of(0));
    group_ = std::move(next);
    return group_.get();
  }
  static std::string initiation(std::uint32_t number) { return '\1' + numbered(number, 147); }
  static std::string data(std::uint32_t number) { return '\4' + numbered(number, 99); }

  void TearDown() override {
    EngineRig<E>::TearDown();  // the engine ends before its sockets
    group_.reset();
  }

  std::unique_ptr<UdpGroup> group_;
};
TYPED_TEST_SUITE(EngineDoorTest, Engines, EngineNames);

TYPED_TEST(EngineDoorTest, StrangersHaveAPartOfABatchAndNoMore) {
  const UdpGroup* const group = this->use_group();
  ASSERT_NE(group, nullptr);
  const Peer peer("127.0.0.1");
  for (std::uint32_t i = 0; i < 100; ++i) {
    peer.send("127.0.0.1", group->port(), this->initiation(i));
    peer.send("127.0.0.1", group->port(), this->data(i));
  }
  std::size_t turns = 0;
  std::uint32_t strangers = 0;
  std::uint32_t known = 0;
  ASSERT_TRUE(this->turn_until([&] {
    turns += 1;
    EXPECT_LE(this->got_udp_.size(), noise::wild_batch_max);
    std::size_t of_this_turn = 0;
    for (const std::string& text : this->got_udp_) {
      const bool is_data = text[0] == '\4';
      EXPECT_EQ(text, is_data ? this->data(known) : this->initiation(strangers)) << "in order";
      (is_data ? known : strangers) += 1;
      of_this_turn += is_data ? 0U : 1U;
    }
    EXPECT_LE(of_this_turn, strangers_per_turn);
    this->got_udp_.clear();
    return known == 100;
  })) << known;
  EXPECT_LE(turns, 12U) << "those that we know do not wait for them";
  EXPECT_TRUE(this->turn_until([&] { return strangers + this->got_udp_.size() == 100; }));
}

TYPED_TEST(EngineDoorTest, StrangersWaitWhereThereIsNoRoomForThem) {
  const UdpGroup* const group = this->use_group();
  ASSERT_NE(group, nullptr);
  const Peer peer("127.0.0.1");
  this->strangers_max_ = 0;
  const Peer other("::1");
  peer.send("127.0.0.1", group->port(), this->initiation(1));
  other.send("::1", group->port(), this->initiation(2));
  for (int i = 0; i < 5; ++i) {
    this->turn(1ms);
  }
  peer.send("127.0.0.1", group->port(), this->data(3));
  ASSERT_TRUE(this->turn_until([&] { return !this->got_udp_.empty(); }));
  EXPECT_THAT(this->got_udp_, testing::ElementsAre(this->data(3)));
  this->turn(1ms);
  EXPECT_TRUE(this->engine_->strangers_wait());
  this->engine_->arm(0);
  ASSERT_TRUE(this->engine_->may_sleep());
  const Instant deadline = read_clock().boottime + 50ms;
  this->engine_->wait(deadline);
  EXPECT_GE(read_clock().boottime, deadline) << "they wake nobody";
  this->engine_->arm(1);
  EXPECT_FALSE(this->engine_->may_sleep()) << "they are not forgotten";
  this->strangers_max_ = 1;
  ASSERT_TRUE(this->turn_until([&] { return this->got_udp_.size() == 3; }));
}

TYPED_TEST(EngineDoorTest, AFloodAtTheDoorTakesNothingFromOthers) {
  const UdpGroup* const group = this->use_group();
  ASSERT_NE(group, nullptr);
  const Peer peer("127.0.0.1");
  constexpr std::uint32_t flood = 20'000;
  for (std::uint32_t i = 0; i < flood; ++i) {
    peer.send("127.0.0.1", group->port(), this->initiation(i));
  }
  for (std::uint32_t i = 0; i < 1000; ++i) {
    peer.send("127.0.0.1", group->port(), this->data(i));
  }
  std::size_t known = 0;
  std::size_t strangers = 0;
  const auto take = [&] {
    for (const std::string& text : this->got_udp_) {
      (text[0] == '\4' ? known : strangers) += 1;
    }
    this->got_udp_.clear();
  };
  for (int i = 0; i < 2000; ++i) {
    this->turn(0ms);
    take();
  }
  EXPECT_EQ(known, 1000U);
  EXPECT_LT(strangers, flood);
  // The kernel tells with what came after the loss.
  peer.send("127.0.0.1", group->port(), this->initiation(flood));
  ASSERT_TRUE(this->turn_until([&] { return !this->got_udp_.empty(); }));
  EXPECT_EQ(this->engine_->counters().door_dropped, flood - strangers);
  EXPECT_EQ(this->engine_->counters().udp_kernel_dropped, 0U);
}

TYPED_TEST(EngineDoorTest, TheDoorIsReplacedWithTheOthers) {
  const Peer peer("127.0.0.1");
  for (std::uint32_t round = 0; round < 10; ++round) {
    const UdpGroup* const group = this->use_group();
    ASSERT_NE(group, nullptr);
    this->got_udp_.clear();
    peer.send("127.0.0.1", group->port(), this->initiation(round));
    ASSERT_TRUE(this->turn_until([&] { return !this->got_udp_.empty(); }));
    EXPECT_EQ(this->got_udp_.back(), this->initiation(round));
    peer.send("127.0.0.1", group->port(), this->initiation(round));  // left behind
    this->turn(0ms);
    this->engine_->set_sockets(nullptr, nullptr);
  }
}

}  // namespace
}  // namespace wgring::tun::test

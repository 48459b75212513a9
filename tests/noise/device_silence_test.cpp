// Forward secrecy in memory, on the virtual clock: what a session was made of, and the handshake
// that led to it, is nowhere in the image of this process once 540 seconds passed in silence. Both
// ends of the session are in it, with their stacks, heap and tables, and so is the crypto library.
//
// The private and the preshared key are needed for the next handshake and stay. Of these, and of
// sessions that end by removal, tests/net/test_memory.py searches the image of the daemon.
#include <array>
#include <span>
#include <vector>

#include "tests/sim/raw_pair.hpp"
#include "tests/support/image.hpp"

namespace wgring::sim {
namespace {

using noise::CoreTestAccess;
using test::Needle;
using test::places_in_image;
using testing::Each;
using testing::IsEmpty;
using testing::Not;

// Clamping changes the first and the last byte.
Needle ephemeral_needle(Bytes drawn) { return Needle{drawn.subspan(1, 30)}; }

void add_keys_of(noise::Device& device, noise::KeypairId id, std::vector<Needle>& keys) {
  const noise::Keypair* const keypair = CoreTestAccess::keypair(device, id);
  ASSERT_NE(keypair, nullptr);
  keys.emplace_back(keypair->keys.sending.view());
  keys.emplace_back(keypair->keys.receiving.view());
}

void expect_all_there(std::span<const Needle> keys) {
  EXPECT_THAT(places_in_image(keys), Each(Not(IsEmpty()))) << "else absence would mean nothing";
}

void expect_all_gone(std::span<const Needle> keys) {
  EXPECT_THAT(places_in_image(keys), Each(IsEmpty()));
}

TEST(Image, ASecretIsFoundWhereItIsAndNotInTheSearchItself) {
  Random random(540);
  ByteArray<32> disguised{};
  random.fill(disguised);
  const Needle never_written = Needle::of_disguised(disguised);
  EXPECT_THAT(places_in_image(never_written), IsEmpty());
  std::vector<std::uint8_t> heap(100);
  const auto write = [&](std::uint8_t* to) {
    for (std::size_t i = 0; i < disguised.size(); ++i) {
      to[i] = disguised[i] ^ Needle::disguise;
    }
  };
  write(heap.data() + 7);
  EXPECT_EQ(places_in_image(never_written).size(), 1U);
  ByteArray<40> stack{};
  write(stack.data() + 3);
  EXPECT_EQ(places_in_image(never_written).size(), 2U);
  crypto::wipe(stack);
  crypto::wipe(heap);
  EXPECT_THAT(places_in_image(never_written), IsEmpty());
}

// A seed of its own: other cases of the same program have other keys.
class Silence : public PairOf {
 protected:
  Silence() : PairOf(540) { connect(); }
};

TEST_F(Silence, SessionKeysStayForLessThan540SecondsAndAreNowhereAfterwards) {
  establish();
  std::vector<Needle> keys;
  add_keys_of(a.device(), peer(a).keypairs.current, keys);
  run_for(noise::reject_after_time - 40s);
  send(a, b);  // a new session; the other is previous at both ends
  run_for(established_age);
  ASSERT_EQ(wire(), "aD aI bR aK");
  add_keys_of(a.device(), peer(a).keypairs.current, keys);
  add_keys_of(b.device(), peer(b).keypairs.previous, keys);
  run_for(noise::zero_key_time - established_age);
  expect_all_there(keys);
  run_for(1s);
  EXPECT_EQ(CoreTestAccess::keypair_count(a.device()), 0U);
  EXPECT_EQ(CoreTestAccess::keypair_count(b.device()), 0U);
  expect_all_gone(keys);
}

// Nobody but the host ever computed these.
class SilentStranger : public RawPair {};

TEST_F(SilentStranger, KeysThatNobodyConfirmedAreNowhereAfter540Seconds) {
  raw.give(raw.initiation());
  std::vector<Needle> keys;
  add_keys_of(a.device(), raw_at_host().keypairs.next, keys);
  run_for(noise::zero_key_time - 1ns);
  expect_all_there(keys);
  run_for(1ns);
  expect_all_gone(keys);
}

TEST_F(Silence, EphemeralKeysAreNowhereOnceTheSessionBegan) {
  std::vector<Needle> ephemerals;
  const auto watch = [&](Bytes drawn) {
    if (drawn.size() == 32) {
      ephemerals.push_back(ephemeral_needle(drawn));
    }
  };
  a.entropy.on_draw = watch;
  b.entropy.on_draw = watch;
  establish();
  ASSERT_EQ(ephemerals.size(), 2U);
  expect_all_gone(ephemerals);
}

TEST_F(Silence, AHandshakeWithoutAnAnswerIsNowhere540SecondsAfterItsLastTry) {
  std::vector<Needle> ephemerals;
  a.entropy.on_draw = [&](Bytes drawn) {
    if (drawn.size() == 32) {
      ephemerals.push_back(ephemeral_needle(drawn));
    }
  };
  cut();
  send(a, b);
  while (peer(a).timers.pending(noise::Timer::retransmit_handshake)) {
    run_for(1s);
  }
  ASSERT_EQ(ephemerals.size(), noise::timer_handshakes_max + 2);
  const std::span<const Needle> earlier = std::span{ephemerals}.first(ephemerals.size() - 1);
  // The slot begins with the chaining key.
  const noise::Handshake& slot = peer(a).handshake;
  const std::array last{ephemerals.back(),
                        Needle{Bytes{reinterpret_cast<const std::uint8_t*>(&slot), 32}}};
  expect_all_gone(earlier);
  expect_all_there(last);
  run_for(noise::zero_key_time);
  expect_all_gone(last);
}

}  // namespace
}  // namespace wgring::sim

// Who is told of prefixes knows at every moment which are there, and on which shard their owners
// live.
#include <array>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "noise/shard_of.hpp"
#include "tests/sim/host.hpp"
#include "tests/sim/random.hpp"

namespace wgring::sim {
namespace {

using noise::AllowedIpChange;
using noise::Prefix;
using namespace std::chrono_literals;

constexpr std::uint32_t shard_bits = 2;

// Host bits are cut off: those of a prefix that is told may be set.
std::string text_of(const Prefix& prefix) {
  std::string text = std::to_string(prefix.cidr) + ":";
  for (std::size_t bit = 0; bit < prefix.cidr; ++bit) {
    text += (prefix.address.bytes[bit / 8] >> (7 - bit % 8) & 1) != 0 ? '1' : '0';
  }
  return (prefix.address.family == noise::Family::v4 ? "v4/" : "v6/") + text;
}

struct Told {
  std::map<std::string, std::uint32_t> shards;
  std::size_t sets = 0;
  std::size_t clears = 0;

  noise::PrefixWatch watch() {
    return {.context = this,
            .set =
                [](void* self, const Prefix& prefix, std::uint32_t shard) noexcept {
                  auto* const told = static_cast<Told*>(self);
                  told->shards[text_of(prefix)] = shard;
                  told->sets += 1;
                },
            .clear =
                [](void* self, const Prefix& prefix) noexcept {
                  auto* const told = static_cast<Told*>(self);
                  EXPECT_EQ(told->shards.erase(text_of(prefix)), 1U) << text_of(prefix);
                  told->clears += 1;
                }};
  }
};

class PrefixWatch : public testing::Test {
 protected:
  static Now now() { return {.boottime = Instant{1h}, .realtime = WallTime{1h}}; }

  // Few addresses, so that prefixes cover, equal and take each other.
  Prefix any_prefix() {
    Prefix prefix;
    const bool v4 = random.chance(500);
    prefix.address.family = v4 ? noise::Family::v4 : noise::Family::v6;
    prefix.address.bytes[0] = static_cast<std::uint8_t>(random.below(3));
    prefix.address.bytes[3] = static_cast<std::uint8_t>(random.below(4));
    prefix.cidr = static_cast<std::uint8_t>(random.below(v4 ? 33 : 129));
    return prefix;
  }
  void change_prefixes() {
    std::vector<AllowedIpChange> changes(random.below(6));
    for (AllowedIpChange& change : changes) {
      const std::uint64_t kind = random.below(10);
      change = {.kind = kind < 6   ? AllowedIpChange::Kind::add
                        : kind < 9 ? AllowedIpChange::Kind::remove
                                   : AllowedIpChange::Kind::remove_all,
                .prefix = any_prefix()};
    }
    noise::PeerUpdate update;
    update.public_key = keys[random.below(keys.size())];
    update.remove = random.chance(100);
    update.allowed_ips = changes;
    update.more_allowed_ips = random.chance(100);
    ASSERT_TRUE(host.device().apply_peer(update, now(), host.outbox));
    host.outbox.clear();
  }
  void remove_peers() { static_cast<void>(host.device().remove_peers(2)); }
  // The peer with the key goes, its prefixes with it.
  void become_a_peer() {
    host.device().set_private_key(key_of(random.between(10, 13)), now(), host.outbox);
    host.outbox.clear();
  }
  [[nodiscard]] std::map<std::string, std::uint32_t> there() {
    std::map<std::string, std::uint32_t> all;
    noise::PeerStatus peer;
    for (std::uint64_t serial = 0; host.device().next_peer(serial, peer); serial = peer.serial) {
      std::vector<Prefix> prefixes(peer.prefix_count);
      EXPECT_EQ(host.device().prefixes_of(peer.serial, prefixes), prefixes.size());
      for (const Prefix& prefix : prefixes) {
        EXPECT_TRUE(
            all.emplace(text_of(prefix), noise::shard_of(peer.public_key, shard_bits)).second);
      }
    }
    return all;
  }

  Random random{7};
  Told told;
  Host host{{.seed = 1, .shard_bits = shard_bits, .prefixes = told.watch()}, now()};
  std::vector<crypto::PublicKey> keys = [] {
    std::vector<crypto::PublicKey> all;
    for (std::uint64_t seed = 10; seed < 18; ++seed) {
      all.push_back(public_of(key_of(seed)));
    }
    return all;
  }();
};

TEST_F(PrefixWatch, KnowsWhatIsThere) {
  for (int step = 0; step < 5'000; ++step) {
    const std::uint64_t what = random.below(100);
    if (what < 90) {
      change_prefixes();
    } else if (what < 95) {
      remove_peers();
    } else {
      become_a_peer();
    }
    ASSERT_EQ(told.shards, there()) << "step " << step;
  }
  EXPECT_GT(told.sets, 5'000U);
  EXPECT_GT(told.clears, 1'000U);
}

// Its packets would be read by another shard for a while, and overtaken.
TEST_F(PrefixWatch, APrefixThatIsReplacedByItselfIsNeverGone) {
  const auto change = [](AllowedIpChange::Kind kind, std::uint8_t last) {
    AllowedIpChange made{.kind = kind, .prefix = {.address = {}, .cidr = 32}};
    made.prefix.address.family = noise::Family::v4;
    made.prefix.address.bytes[3] = last;
    return made;
  };
  using enum AllowedIpChange::Kind;
  noise::PeerUpdate update;
  update.public_key = keys[0];
  const std::array first{change(add, 1), change(add, 2), change(add, 3)};
  update.allowed_ips = first;
  ASSERT_TRUE(host.device().apply_peer(update, now(), host.outbox));
  const std::array again{change(remove_all, 0), change(add, 2), change(add, 2), change(add, 4)};
  update.allowed_ips = std::span{again}.first(2);
  update.more_allowed_ips = true;
  ASSERT_TRUE(host.device().apply_peer(update, now(), host.outbox));
  EXPECT_EQ(told.clears, 0U) << "there is more to come";
  EXPECT_EQ(told.shards, there());
  EXPECT_EQ(told.shards.size(), 3U);
  update.allowed_ips = std::span{again}.subspan(2);
  update.more_allowed_ips = false;
  ASSERT_TRUE(host.device().apply_peer(update, now(), host.outbox));
  EXPECT_EQ(told.clears, 2U) << "1 and 3";
  EXPECT_EQ(told.shards, there());
  EXPECT_EQ(told.shards.size(), 2U);
  const std::array none{change(remove_all, 0), change(add, 4), change(remove_all, 0)};
  update.allowed_ips = none;
  ASSERT_TRUE(host.device().apply_peer(update, now(), host.outbox));
  EXPECT_TRUE(told.shards.empty());
  EXPECT_TRUE(there().empty());
}

}  // namespace
}  // namespace wgring::sim

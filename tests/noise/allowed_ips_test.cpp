#include "noise/allowed_ips.hpp"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include "tests/support/json_vectors.hpp"
#include "tests/support/memory.hpp"

namespace wgring::noise {
namespace {

IpAddress address_of(const std::string& text) {
  IpAddress address;
  const bool is_v6 = text.find(':') != std::string::npos;
  address.family = is_v6 ? Family::v6 : Family::v4;
  if (::inet_pton(is_v6 ? AF_INET6 : AF_INET, text.c_str(), address.bytes.data()) != 1) {
    throw std::runtime_error("not an address: " + text);
  }
  return address;
}

Prefix prefix_of(const std::string& text) {
  const std::size_t slash = text.find('/');
  return {.address = address_of(text.substr(0, slash)),
          .cidr = static_cast<std::uint8_t>(std::stoul(text.substr(slash + 1)))};
}

PeerId find(const AllowedIps& table, const IpAddress& address) {
  // One byte off any alignment, as inner headers may be.
  ByteArray<17> shifted{};
  copy_bytes(MutableBytes{shifted}.subspan(1), address.bytes);
  return address.family == Family::v4 ? table.find_v4(shifted.data() + 1)
                                      : table.find_v6(shifted.data() + 1);
}

// All prefixes, in the order in which they are listed.
void remove_peer(AllowedIps& table, PeerId peer) {
  std::vector<Prefix> listed(table.prefix_count(peer));
  ASSERT_EQ(table.prefixes_of(peer, listed), listed.size());
  for (const Prefix& prefix : listed) {
    ASSERT_EQ(table.remove_oldest(peer), prefix);
  }
  ASSERT_EQ(table.remove_oldest(peer), std::nullopt);
}

class AllowedIpsTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t prefixes_max = 10'000;
  static constexpr std::uint32_t peers_max = 100;

  void SetUp() override { ASSERT_TRUE(table.open(memory.source(), prefixes_max, peers_max)); }

  void insert(const std::string& prefix, PeerId peer) {
    ASSERT_TRUE(table.insert(prefix_of(prefix), peer)) << prefix;
  }
  [[nodiscard]] PeerId find_text(const std::string& text) const {
    return find(table, address_of(text));
  }
  [[nodiscard]] std::vector<Prefix> listed(PeerId peer) const {
    std::vector<Prefix> out(table.prefix_count(peer) + 1);
    out.resize(table.prefixes_of(peer, out));
    return out;
  }

  test::TestMemory memory;
  AllowedIps table;
};

void run_vectors(AllowedIps& table, const boost::json::array& operations) {
  for (const auto& entry : operations) {
    const auto& step = entry.as_object();
    SCOPED_TRACE(boost::json::serialize(step));
    const std::string op = test::text_of(step, "op");
    if (op == "table_is_empty") {
      EXPECT_TRUE(table.empty());
      EXPECT_EQ(table.nodes_used(), 0U);
      continue;
    }
    const PeerId peer = step.at("peer").is_null()
                            ? no_peer
                            : static_cast<PeerId>(test::text_of(step, "peer").at(0) - 'a');
    if (op == "remove_peer") {
      remove_peer(table, peer);
      continue;
    }
    Prefix prefix{.address = address_of(test::text_of(step, "address"))};
    if (op == "lookup_is") {
      EXPECT_EQ(find(table, prefix.address), peer);
    } else if (op == "lookup_is_not") {
      EXPECT_NE(find(table, prefix.address), peer);
    } else {
      prefix.cidr = static_cast<std::uint8_t>(step.at("prefix").as_int64());
      if (op == "insert") {
        EXPECT_TRUE(table.insert(prefix, peer));
      } else if (op == "remove") {
        table.remove(prefix, peer);
      } else {
        FAIL() << "unknown operation";
      }
    }
  }
}

TEST_F(AllowedIpsTest, VectorsV4) {
  const auto vectors = test::load_vectors("allowedips");
  const auto& operations = test::array_of(vectors.as_object(), "ipv4");
  ASSERT_EQ(operations.size(), 64U);
  run_vectors(table, operations);
}

// fault: CVE-2024-42247
TEST_F(AllowedIpsTest, VectorsV6) {
  const auto vectors = test::load_vectors("allowedips");
  const auto& operations = test::array_of(vectors.as_object(), "ipv6");
  ASSERT_EQ(operations.size(), 36U);
  run_vectors(table, operations);
}

TEST_F(AllowedIpsTest, EmptyFindsNobody) {
  EXPECT_EQ(find_text("10.0.0.1"), no_peer);
  EXPECT_EQ(find_text("::1"), no_peer);
  EXPECT_TRUE(table.empty());
  EXPECT_EQ(table.prefix_count(0), 0U);
  EXPECT_TRUE(listed(0).empty());
  remove_peer(table, 0);
  table.remove(prefix_of("10.0.0.0/8"), 0);
}

TEST_F(AllowedIpsTest, HostBitsAreMasked) {
  insert("10.1.2.3/9", 1);
  insert("2001:db8:ffff:ffff:ffff::1/33", 2);
  EXPECT_EQ(listed(1), std::vector{prefix_of("10.0.0.0/9")});
  EXPECT_EQ(listed(2), std::vector{prefix_of("2001:db8:8000::/33")});
  EXPECT_EQ(find_text("10.127.255.255"), 1U);
  EXPECT_EQ(find_text("10.128.0.0"), no_peer);
  // Removal masks as well.
  table.remove(prefix_of("10.99.0.0/9"), 1);
  EXPECT_EQ(find_text("10.1.2.3"), no_peer);
}

TEST_F(AllowedIpsTest, FamiliesAreApart) {
  insert("0.0.0.0/0", 1);
  EXPECT_EQ(find_text("::"), no_peer);
  insert("::/0", 2);
  EXPECT_EQ(find_text("::"), 2U);
  EXPECT_EQ(find_text("255.255.255.255"), 1U);
  table.remove(prefix_of("0.0.0.0/0"), 1);
  EXPECT_EQ(find_text("0.0.0.0"), no_peer);
  EXPECT_EQ(find_text("ffff::"), 2U);
}

TEST_F(AllowedIpsTest, OnlyTheOwnerRemovesAndOnlyTheExactPrefix) {
  insert("10.0.0.0/8", 1);
  table.remove(prefix_of("10.0.0.0/8"), 2);
  table.remove(prefix_of("10.0.0.0/9"), 1);
  table.remove(prefix_of("10.0.0.0/7"), 1);
  EXPECT_EQ(find_text("10.9.9.9"), 1U);
  // A parting without a peer is nobody's prefix.
  insert("11.0.0.0/8", 1);
  table.remove(prefix_of("10.0.0.0/7"), no_peer - 1);
  table.remove(prefix_of("10.0.0.0/7"), 1);
  EXPECT_EQ(table.prefix_count(1), 2U);
}

TEST_F(AllowedIpsTest, EqualPrefixMovesToItsNewOwner) {
  insert("10.0.0.0/8", 1);
  insert("10.1.0.0/16", 1);
  insert("10.0.0.0/8", 2);
  EXPECT_EQ(find_text("10.2.0.0"), 2U);
  EXPECT_EQ(find_text("10.1.0.0"), 1U);
  EXPECT_EQ(listed(1), std::vector{prefix_of("10.1.0.0/16")});
  EXPECT_EQ(listed(2), std::vector{prefix_of("10.0.0.0/8")});
  remove_peer(table, 1);
  EXPECT_EQ(find_text("10.1.0.0"), 2U);
}

// N36: overlapping and /0 prefixes in any order.
TEST_F(AllowedIpsTest, OverlappingPrefixesInAnyOrder) {
  std::vector<std::string> prefixes{"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.0.0.1/32"};
  std::sort(prefixes.begin(), prefixes.end());
  do {
    for (const std::string& prefix : prefixes) {
      insert(prefix, static_cast<PeerId>(prefix_of(prefix).cidr));
    }
    ASSERT_EQ(find_text("10.0.0.1"), 32U);
    ASSERT_EQ(find_text("10.0.0.2"), 16U);
    ASSERT_EQ(find_text("10.1.0.0"), 8U);
    ASSERT_EQ(find_text("11.0.0.0"), 0U);
    for (const std::string& prefix : prefixes) {
      table.remove(prefix_of(prefix), prefix_of(prefix).cidr);
    }
    ASSERT_EQ(table.nodes_used(), 0U);
  } while (std::next_permutation(prefixes.begin(), prefixes.end()));
}

TEST_F(AllowedIpsTest, ListingIsInOrderOfInsertion) {
  const std::vector<std::string> order{"10.0.0.3/32", "fd00::/8", "10.0.0.1/32", "0.0.0.0/0",
                                       "fd00::1/128"};
  std::vector<Prefix> expected;
  for (const std::string& prefix : order) {
    insert(prefix, 7);
    expected.push_back(prefix_of(prefix));
  }
  EXPECT_EQ(listed(7), expected);
  // Inserted again: it is the latest.
  insert("fd00::/8", 7);
  std::rotate(expected.begin() + 1, expected.begin() + 2, expected.end());
  EXPECT_EQ(listed(7), expected);
  // A short span gets the first ones.
  std::vector<Prefix> two(2);
  EXPECT_EQ(table.prefixes_of(7, two), 2U);
  EXPECT_EQ(two[1], expected[1]);
  EXPECT_EQ(table.prefixes_of(7, {}), 0U);
}

TEST_F(AllowedIpsTest, ChainOfEveryLengthV6) {
  const std::string address = "2001:db8:5555:aaaa:5555:aaaa:5555:aaaa";
  for (unsigned cidr = 0; cidr <= 128; ++cidr) {
    ASSERT_TRUE(
        table.insert({.address = address_of(address), .cidr = static_cast<std::uint8_t>(cidr)},
                     cidr % peers_max));
  }
  EXPECT_EQ(table.nodes_used(), 129U);
  for (unsigned cidr = 128; cidr > 0; --cidr) {
    ASSERT_EQ(find_text(address), cidr % peers_max);
    // Leaves the prefix at its last bit: the next shorter one answers.
    IpAddress aside = address_of(address);
    aside.bytes[(cidr - 1) / 8] ^= static_cast<std::uint8_t>(0x80U >> ((cidr - 1) % 8));
    ASSERT_EQ(find(table, aside), (cidr - 1) % peers_max);
    table.remove({.address = address_of(address), .cidr = static_cast<std::uint8_t>(cidr)},
                 cidr % peers_max);
  }
  EXPECT_EQ(table.nodes_used(), 1U);
}

// --- against the obvious implementation ---

struct Model {
  struct Owned {
    Prefix prefix;
    PeerId peer;
  };
  std::vector<Owned> owned;  // in order of insertion

  static bool bit(const IpAddress& address, unsigned position) {
    return ((address.bytes[position / 8] >> (7 - position % 8)) & 1U) != 0;
  }
  static bool covers(const Prefix& prefix, const IpAddress& address) {
    if (prefix.address.family != address.family) {
      return false;
    }
    for (unsigned i = 0; i < prefix.cidr; ++i) {
      if (bit(prefix.address, i) != bit(address, i)) {
        return false;
      }
    }
    return true;
  }
  static Prefix masked(Prefix prefix) {
    for (unsigned i = prefix.cidr; i < 128; ++i) {
      prefix.address.bytes[i / 8] &= static_cast<std::uint8_t>(~(0x80U >> (i % 8)));
    }
    return prefix;
  }
  void insert(const Prefix& prefix, PeerId peer) {
    std::erase_if(owned, [&](const Owned& o) { return o.prefix == masked(prefix); });
    owned.push_back({masked(prefix), peer});
  }
  void remove(const Prefix& prefix, PeerId peer) {
    std::erase_if(owned,
                  [&](const Owned& o) { return o.prefix == masked(prefix) && o.peer == peer; });
  }
  void remove_peer(PeerId peer) {
    std::erase_if(owned, [&](const Owned& o) { return o.peer == peer; });
  }
  [[nodiscard]] PeerId find(const IpAddress& address) const {
    const Owned* best = nullptr;
    for (const Owned& o : owned) {
      if (covers(o.prefix, address) && (best == nullptr || o.prefix.cidr > best->prefix.cidr)) {
        best = &o;
      }
    }
    return best == nullptr ? no_peer : best->peer;
  }
  [[nodiscard]] std::vector<Prefix> listed(PeerId peer) const {
    std::vector<Prefix> out;
    for (const Owned& o : owned) {
      if (o.peer == peer) {
        out.push_back(o.prefix);
      }
    }
    return out;
  }
};

class AllowedIpsRandom : public AllowedIpsTest, public ::testing::WithParamInterface<int> {
 protected:
  static constexpr PeerId peers = 12;

  // Few distinct bytes, so that prefixes share beginnings and meet again.
  IpAddress random_address(Family family) {
    IpAddress address{.family = family};
    const std::size_t size = family == Family::v4 ? 4 : 16;
    for (std::size_t i = 0; i < size; ++i) {
      constexpr ByteArray<4> often{0x00, 0x80, 0xff, 0x01};
      address.bytes[i] =
          random() % 4 == 0 ? static_cast<std::uint8_t>(random()) : often[random() % often.size()];
    }
    return address;
  }
  Prefix random_prefix() {
    if (!model.owned.empty() && random() % 3 == 0) {  // one that exists, perhaps cut or grown
      Prefix prefix = model.owned[random() % model.owned.size()].prefix;
      const unsigned bits = prefix.address.family == Family::v4 ? 32 : 128;
      if (random() % 2 == 0) {
        prefix.cidr = static_cast<std::uint8_t>(random() % (bits + 1));
      }
      return prefix;
    }
    const Family family = random() % 2 == 0 ? Family::v4 : Family::v6;
    const unsigned bits = family == Family::v4 ? 32 : 128;
    return {.address = random_address(family),
            .cidr = static_cast<std::uint8_t>(random() % (bits + 1))};
  }
  PeerId random_peer() { return static_cast<PeerId>(random() % peers); }

  void mutate() {
    const auto kind = random() % 100;
    const Prefix prefix = random_prefix();
    const PeerId peer = random_peer();
    if (kind < 55) {
      ASSERT_TRUE(table.insert(prefix, peer));
      model.insert(prefix, peer);
    } else if (kind < 97) {
      table.remove(prefix, peer);
      model.remove(prefix, peer);
    } else {
      remove_peer(table, peer);
      model.remove_peer(peer);
    }
  }
  void compare() {
    for (int i = 0; i < 6; ++i) {
      const IpAddress address = i % 2 == 0
                                    ? random_prefix().address
                                    : random_address(random() % 2 == 0 ? Family::v4 : Family::v6);
      ASSERT_EQ(find(table, address), model.find(address));
    }
    const PeerId peer = random_peer();
    ASSERT_EQ(listed(peer), model.listed(peer));
    ASSERT_EQ(table.prefix_count(peer), model.listed(peer).size());
    ASSERT_EQ(table.empty(), model.owned.empty());
    ASSERT_LE(table.nodes_used(), 2 * model.owned.size());
  }

  std::mt19937_64 random{static_cast<std::uint64_t>(GetParam())};
  Model model;
};

// fault: CVE-2024-42247
TEST_P(AllowedIpsRandom, AgreesWithAList) {
  for (int i = 0; i < 6'000; ++i) {
    ASSERT_NO_FATAL_FAILURE(mutate());
    ASSERT_NO_FATAL_FAILURE(compare());
  }
  for (PeerId peer = 0; peer < peers; ++peer) {
    remove_peer(table, peer);
  }
  EXPECT_TRUE(table.empty());
  EXPECT_EQ(table.nodes_used(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, AllowedIpsRandom, ::testing::Range(1, 5));

// --- room ---

TEST_F(AllowedIpsTest, AfterEnsureInsertsCannotFail) {
  ASSERT_TRUE(table.ensure(prefixes_max, peers_max - 1));
  memory.set_commit_budget(0);
  std::mt19937_64 random(1);
  for (std::uint32_t i = 0; i < prefixes_max; ++i) {
    Prefix prefix{.address = {.family = Family::v6}, .cidr = 128};
    store_be64(prefix.address.bytes.data(), random());
    ASSERT_TRUE(table.insert(prefix, i % peers_max));
  }
  EXPECT_FALSE(table.ensure(1, 0));
  EXPECT_FALSE(table.insert(prefix_of("1.2.3.4/32"), 0));
  for (PeerId peer = 0; peer < peers_max; ++peer) {
    EXPECT_EQ(table.prefix_count(peer), 100U);
    remove_peer(table, peer);
  }
  // The nodes are back and are used again.
  EXPECT_EQ(table.nodes_used(), 0U);
  EXPECT_TRUE(table.ensure(prefixes_max, 0));
}

TEST_F(AllowedIpsTest, EnsureCountsNodesInUseAgain) {
  const auto fill = [this](std::uint32_t count, std::uint32_t from) {
    for (std::uint32_t i = from; i < from + count; ++i) {
      Prefix prefix{.address = {.family = Family::v4}, .cidr = 32};
      store_be32(prefix.address.bytes.data(), i * 77'777);
      ASSERT_TRUE(table.insert(prefix, 1));
    }
  };
  fill(600, 0);
  remove_peer(table, 1);
  fill(600, 0);
  ASSERT_TRUE(table.ensure(2'000, 1));
  memory.set_commit_budget(0);
  fill(2'000, 600);
}

TEST_F(AllowedIpsTest, AFullTableStillMovesAPrefix) {
  AllowedIps small;
  ASSERT_TRUE(small.open(memory.source(), 2, 4));
  ASSERT_TRUE(small.insert(prefix_of("10.0.0.0/8"), 0));
  ASSERT_TRUE(small.insert(prefix_of("192.0.0.0/8"), 0));
  EXPECT_FALSE(small.insert(prefix_of("11.0.0.0/8"), 0));
  EXPECT_TRUE(small.insert(prefix_of("10.0.0.0/8"), 3));
  EXPECT_EQ(find(small, address_of("10.0.0.1")), 3U);
  EXPECT_EQ(find(small, address_of("11.0.0.1")), no_peer);
}

TEST_F(AllowedIpsTest, OutOfMemoryChangesNothing) {
  memory.set_commit_budget(0);
  EXPECT_FALSE(table.ensure(1, 0));
  EXPECT_FALSE(table.insert(prefix_of("10.0.0.0/8"), 0));
  EXPECT_TRUE(table.empty());
  EXPECT_EQ(find_text("10.0.0.1"), no_peer);
  memory.set_commit_budget(test::TestMemory::unlimited);
  EXPECT_FALSE(table.ensure(1, peers_max));
  EXPECT_TRUE(table.insert(prefix_of("10.0.0.0/8"), 0));
}

using AllowedIpsDeathTest = AllowedIpsTest;
TEST_F(AllowedIpsDeathTest, ImpossiblePrefixIsABug) {
  EXPECT_DEATH(static_cast<void>(table.insert({.address = {.family = Family::v4}, .cidr = 33}, 0)),
               "assertion failed");
  EXPECT_DEATH(static_cast<void>(table.insert({.address = {.family = Family::v6}, .cidr = 129}, 0)),
               "assertion failed");
  EXPECT_DEATH(static_cast<void>(table.insert({}, 0)), "assertion failed");
}

// A replace asks before it removes: nothing may fail after that, at any shape of the new tree.
TEST_F(AllowedIpsTest, RoomForAllAfterRemoval) {
  for (int i = 0; i < 256; ++i) {
    insert("10.0." + std::to_string(i) + ".0/24", 1);
  }
  EXPECT_FALSE(table.ensure(prefixes_max, 1)) << "beside what is there";
  EXPECT_FALSE(table.ensure_total(prefixes_max + 1, 1));
  EXPECT_FALSE(table.ensure_total(prefixes_max, peers_max));
  ASSERT_TRUE(table.ensure_total(prefixes_max, peers_max - 1));
  memory.set_commit_budget(memory.committed_bytes());
  remove_peer(table, 1);
  std::mt19937 random(1);
  for (std::uint32_t i = 0; i < prefixes_max; ++i) {
    Prefix prefix{.address = {.family = Family::v4, .bytes = {}}, .cidr = 32};
    store_be32(prefix.address.bytes.data(), static_cast<std::uint32_t>(random()));
    ASSERT_TRUE(table.ensure(1, i % peers_max)) << i;
    ASSERT_TRUE(table.insert(prefix, i % peers_max)) << i;
  }
}

}  // namespace
}  // namespace wgring::noise

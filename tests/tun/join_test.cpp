#include "tun/offload/join.hpp"

#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "flow.hpp"
#include "noise/split.hpp"

namespace wgring::tun {
namespace {

using noise::Splitter;
using noise::VnetHeader;
using test::fix_checksums;
using test::Flow;
using test::Packet;

constexpr JoinPolicy everything{.tcp = true, .udp = true};

// Joins, then splits what came out: the packets as TUN would deliver them, by run.
[[nodiscard]] std::vector<std::vector<Packet>> round_trip(const std::vector<Packet>& packets,
                                                          JoinPolicy policy = everything) {
  std::vector<Packet> work = packets;
  Joiner joiner(policy);
  for (Packet& packet : work) {
    joiner.add(packet);
  }
  joiner.finish();
  std::vector<std::vector<Packet>> runs;
  for (std::size_t i = 0; i < joiner.run_count(); ++i) {
    Packet whole;
    joiner.for_each_piece(
        i, [&](Bytes piece) { whole.insert(whole.end(), piece.begin(), piece.end()); });
    std::vector<Packet>& run = runs.emplace_back();
    if (joiner.header(i).plain()) {
      run.push_back(whole);
      continue;
    }
    auto splitter = Splitter::open(whole, joiner.header(i));
    EXPECT_TRUE(splitter.has_value());
    while (splitter && !splitter->done()) {
      const Bytes segment = splitter->next();
      run.emplace_back(segment.begin(), segment.end());
    }
  }
  return runs;
}

[[nodiscard]] std::vector<std::size_t> sizes(const std::vector<std::vector<Packet>>& runs) {
  std::vector<std::size_t> all;
  for (const auto& run : runs) {
    all.push_back(run.size());
  }
  return all;
}

using Sizes = std::vector<std::size_t>;

TEST(Join, a_run_of_one_flow_is_one_write_and_splits_back_to_the_same_bytes) {
  for (const bool v4 : {true, false}) {
    for (const bool tcp : {true, false}) {
      Flow flow(v4, tcp, 1);
      std::vector<Packet> packets;
      for (int i = 0; i < 30; ++i) {
        packets.push_back(flow.next(i == 29 ? 100 : 1360));
      }
      const auto runs = round_trip(packets);
      ASSERT_EQ(sizes(runs), Sizes{30});
      EXPECT_EQ(runs[0], packets);
    }
  }
}

TEST(Join, a_shorter_packet_or_push_ends_a_run) {
  Flow flow(true, true, 1);
  std::vector<Packet> packets;
  for (const std::size_t bytes : {1000U, 1000U, 500U, 1000U, 1000U}) {
    packets.push_back(flow.next(bytes));
  }
  packets.push_back(flow.next(1000, true));
  packets.push_back(flow.next(1000));
  EXPECT_EQ(sizes(round_trip(packets)), (Sizes{3, 3, 1}));
}

TEST(Join, a_longer_packet_begins_a_run) {
  Flow flow(true, false, 1);
  const std::vector<Packet> packets{flow.next(100), flow.next(200), flow.next(200)};
  EXPECT_EQ(sizes(round_trip(packets)), (Sizes{1, 2}));
}

TEST(Join, flows_that_alternate_are_joined_each_by_itself) {
  Flow one(true, true, 1);
  Flow two(true, true, 2);
  Flow three(false, false, 3);
  std::vector<Packet> packets;
  for (int i = 0; i < 10; ++i) {
    packets.push_back(one.next(1000));
    packets.push_back(two.next(1000));
    packets.push_back(three.next(1000));
  }
  EXPECT_EQ(sizes(round_trip(packets)), (Sizes{10, 10, 10}));
}

TEST(Join, what_is_for_a_tunnel_of_the_kernel_stays_alone) {
  for (const std::uint16_t port : std::to_array<std::uint16_t>({4789, 8472, 6081, 6635})) {
    Flow flow(true, false, 1);
    std::vector<Packet> packets{flow.next(100), flow.next(100)};
    for (Packet& packet : packets) {
      store_be16(&packet[22], port);
    }
    EXPECT_EQ(sizes(round_trip(packets)), (Sizes{1, 1})) << port;
  }
}

TEST(Join, a_fragment_is_not_overtaken_by_its_flow) {
  Flow flow(false, false, 1);
  std::vector<Packet> packets{flow.next(100), flow.next(100), flow.next(100)};
  packets[1][6] = 44;  // a fragment header follows
  EXPECT_EQ(sizes(round_trip(packets)), (Sizes{1, 1, 1}));
}

TEST(Join, a_run_never_grows_beyond_the_length_field) {
  Flow flow(false, false, 1);
  std::vector<Packet> packets;
  for (int i = 0; i < 10; ++i) {
    packets.push_back(flow.next(8900));
  }
  EXPECT_EQ(sizes(round_trip(packets)), (Sizes{7, 3}));
}

TEST(Join, the_length_field_is_filled_to_its_last_value) {
  const auto runs_of = [](int count, std::size_t payload) {
    Flow flow(true, false, 1);
    std::vector<Packet> packets;
    for (int i = 0; i < count; ++i) {
      packets.push_back(flow.next(payload));
    }
    return sizes(round_trip(packets));
  };
  EXPECT_EQ(runs_of(13, 5039), Sizes{13}) << "65535 with the headers";
  EXPECT_EQ(runs_of(12, 5459), (Sizes{11, 1})) << "65536";
}

TEST(Join, the_policy_is_obeyed) {
  Flow tcp(true, true, 1);
  Flow udp(true, false, 2);
  const std::vector<Packet> packets{tcp.next(100), tcp.next(100), udp.next(100), udp.next(100)};
  EXPECT_EQ(sizes(round_trip(packets, {.tcp = true, .udp = false})), (Sizes{2, 1, 1}));
  EXPECT_EQ(sizes(round_trip(packets, {.tcp = false, .udp = true})), (Sizes{1, 1, 2}));
  EXPECT_EQ(sizes(round_trip(packets, {})), (Sizes{1, 1, 1, 1}));
}

// The second of two packets is spoilt in one way: they must come out as they were, alone.
TEST(Join, what_differs_in_more_than_its_place_is_not_joined) {
  struct Row {
    const char* what;
    void (*spoil)(Packet&, std::size_t transport_at);
  };
  const Row rows[] = {
      {"TTL", [](Packet& p, std::size_t) { p[8] -= 1; }},
      {"TOS", [](Packet& p, std::size_t) { p[1] = 3; }},
      {"DF", [](Packet& p, std::size_t) { p[6] ^= 0x40; }},
      {"more fragments", [](Packet& p, std::size_t) { p[6] |= 0x20; }},
      {"fragment offset", [](Packet& p, std::size_t) { p[7] = 1; }},
      {"identification",
       [](Packet& p, std::size_t) { p[5] = static_cast<std::uint8_t>(p[5] + 1); }},
      {"sequence", [](Packet& p, std::size_t t) { p[t + 7] ^= 1; }},
      {"acknowledgement", [](Packet& p, std::size_t t) { p[t + 11] ^= 1; }},
      {"SYN", [](Packet& p, std::size_t t) { p[t + 13] |= 0x02; }},
      {"FIN", [](Packet& p, std::size_t t) { p[t + 13] |= 0x01; }},
      {"RST", [](Packet& p, std::size_t t) { p[t + 13] |= 0x04; }},
      {"URG", [](Packet& p, std::size_t t) { p[t + 13] |= 0x20; }},
      {"ECE", [](Packet& p, std::size_t t) { p[t + 13] |= 0x40; }},
      {"CWR", [](Packet& p, std::size_t t) { p[t + 13] |= 0x80; }},
      {"reserved flag", [](Packet& p, std::size_t t) { p[t + 12] |= 0x01; }},
      {"window", [](Packet& p, std::size_t t) { p[t + 15] ^= 1; }},
      {"urgent pointer", [](Packet& p, std::size_t t) { p[t + 19] ^= 1; }},
      {"options", [](Packet& p, std::size_t t) { p[t + 27] ^= 1; }},
      {"source address", [](Packet& p, std::size_t) { p[15] ^= 1; }},
      {"port", [](Packet& p, std::size_t t) { p[t + 3] ^= 1; }},
      {"TCP header length", [](Packet& p, std::size_t t) { p[t + 12] = 0x90; }},
  };
  for (const Row& row : rows) {
    Flow flow(true, true, 1);
    std::vector<Packet> packets{flow.next(500), flow.next(500)};
    row.spoil(packets[1], flow.transport_at());
    fix_checksums(packets[1]);
    const auto runs = round_trip(packets);
    EXPECT_EQ(sizes(runs), (Sizes{1, 1})) << row.what;
    if (runs.size() == 2) {
      EXPECT_EQ(runs[1][0], packets[1]) << row.what;
    }
  }
}

// As above, but nobody makes the checksums right again.
TEST(Join, what_is_broken_or_cannot_be_made_again_is_not_joined) {
  struct Row {
    const char* what;
    bool v4;
    bool tcp;
    void (*spoil)(Packet&);
  };
  const Row rows[] = {
      {"header checksum", true, true, [](Packet& p) { p[10] ^= 1; }},
      {"UDP without a checksum", true, false, [](Packet& p) { store_be16(&p[26], 0); }},
      {"UDP length", true, false, [](Packet& p) { store_be16(&p[24], 100); }},
      {"UDP length over v6", false, false, [](Packet& p) { store_be16(&p[44], 100); }},
      {"flow label", false, true, [](Packet& p) { p[3] ^= 1; }},
      {"traffic class", false, true, [](Packet& p) { p[1] ^= 0x10; }},
      {"hop limit", false, true, [](Packet& p) { p[7] -= 1; }},
  };
  for (const Row& row : rows) {
    Flow flow(row.v4, row.tcp, 1);
    std::vector<Packet> packets{flow.next(500), flow.next(500)};
    row.spoil(packets[1]);
    const auto runs = round_trip(packets);
    ASSERT_EQ(sizes(runs), (Sizes{1, 1})) << row.what;
    EXPECT_EQ(runs[1][0], packets[1]) << row.what;
  }
}

TEST(Join, first_fragments_in_a_row_are_not_joined) {
  Flow flow(true, true, 1);
  std::vector<Packet> packets{flow.next(500), flow.next(500)};
  for (Packet& packet : packets) {
    packet[6] |= 0x20;
    fix_checksums(packet);
  }
  EXPECT_EQ(sizes(round_trip(packets)), (Sizes{1, 1}));
}

TEST(Join, an_interruption_in_a_flow_is_not_jumped_over) {
  Flow flow(true, true, 1);
  std::vector<Packet> packets{flow.next(500), flow.next(500), flow.next(500), flow.next(500)};
  packets[1][20 + 13] |= 0x01;
  fix_checksums(packets[1]);
  const auto runs = round_trip(packets);
  ASSERT_EQ(sizes(runs), (Sizes{1, 1, 2}));
  EXPECT_EQ(runs[1][0], packets[1]);
}

TEST(Join, whatever_comes_leaves_with_the_same_bytes_and_each_flow_in_order) {
  std::mt19937_64 random(23);
  for (int round = 0; round < 400; ++round) {
    std::vector<Flow> flows{{true, true, 0}, {true, false, 1}, {false, true, 2}, {false, false, 3}};
    std::vector<std::vector<Packet>> sent(4);
    std::vector<Packet> spoilt;  // a bit of the first bytes flipped: a flow of its own now
    std::vector<Packet> packets;
    for (int i = 0; i < 64; ++i) {
      const std::size_t which = random() % (1 + static_cast<std::size_t>(round) % 4);
      Packet packet = flows[which].next(1 + random() % 3 * 700, random() % 9 == 0);
      if (random() % 10 != 0) {
        sent[which].push_back(packet);
      } else {
        packet[random() % 20] ^= static_cast<std::uint8_t>(1U << random() % 8);
        if (packet[0] >> 4U != 4 && packet[0] >> 4U != 6) {
          packet[0] = which < 2 ? 0x45 : 0x60;  // the core delivers nothing else
        }
        fix_checksums(packet);
        spoilt.push_back(packet);
      }
      packets.push_back(std::move(packet));
    }
    std::vector<Packet> out;
    for (auto& run : round_trip(packets)) {
      out.insert(out.end(), run.begin(), run.end());
    }
    ASSERT_EQ(out.size(), packets.size());
    for (const Packet& packet : spoilt) {
      ASSERT_NE(std::find(out.begin(), out.end(), packet), out.end()) << "round " << round;
    }
    // Every packet is there, byte for byte, and those of one flow in the order they were sent.
    for (const auto& flow : sent) {
      auto at = out.begin();
      for (const Packet& packet : flow) {
        at = std::find(at, out.end(), packet);
        ASSERT_NE(at, out.end()) << "round " << round;
      }
    }
  }
}

}  // namespace
}  // namespace wgring::tun

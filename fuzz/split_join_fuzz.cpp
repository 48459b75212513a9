// Joining packets for the TUN and splitting what the TUN gives are inverse to each other; and no
// header, however wrong, leads the splitter out of its packet.
//
//   | even: packets; bit 1: join TCP, bit 2: join UDP | per packet: kind, place and mask of a fault
//   | | odd: one packet | virtio_net_hdr, 10 bytes | the packet |
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "noise/split.hpp"
#include "tests/tun/flow.hpp"
#include "tun/offload/join.hpp"

namespace {

using wgring::Bytes;
using wgring::MutableBytes;
using wgring::noise::Splitter;
using wgring::noise::VnetHeader;
using wgring::test::Flow;
using wgring::test::Packet;
using wgring::tun::Joiner;

constexpr std::size_t bytes_per_packet = 3;

struct Sent {
  std::size_t flow;
  bool spoilt;
  Packet packet;
};

// | kind: flow 2 bits, push 1, IPv4 checksum wrong 1, payload 4 | place | mask; 0: no fault |
Sent make_packet(std::array<Flow, 4>& flows, std::span<const std::uint8_t> choice) {
  constexpr std::size_t payloads[] = {1,   2,    3,    36,   100,  512,  536,  700,
                                      711, 1000, 1220, 1360, 1400, 1448, 4000, 8900};
  Sent sent{.flow = choice[0] & 3U,
            .spoilt = choice[2] != 0 || (choice[0] & 8U) != 0,
            .packet = flows[choice[0] & 3U].next(payloads[choice[0] >> 4U], (choice[0] & 4U) != 0)};
  Packet& packet = sent.packet;
  packet[choice[1] % std::min<std::size_t>(packet.size(), 96)] ^= choice[2];
  if (packet[0] >> 4U != 4 && packet[0] >> 4U != 6) {
    packet[0] = 0x45;  // the core delivers nothing else
  }
  if (packet[0] >> 4U == 6 && packet.size() < 40) {
    packet[0] = 0x45;  // nor less than a header
  }
  // What the tag vouches for is not verified, so a wrong one would come out repaired.
  wgring::test::fix_checksums(packet);
  if ((choice[0] & 8U) != 0 && packet[0] >> 4U == 4) {
    packet[10] ^= 1;  // this one is verified: the packet stays alone and as it is
  }
  return sent;
}

// The packets of a run, as the TUN will deliver them.
std::vector<Packet> split(const Joiner& joiner, std::size_t run) {
  Packet whole;
  joiner.for_each_piece(
      run, [&](Bytes piece) { whole.insert(whole.end(), piece.begin(), piece.end()); });
  std::vector<Packet> packets;
  if (joiner.header(run).plain()) {
    packets.push_back(std::move(whole));
  } else {
    auto splitter = Splitter::open(whole, joiner.header(run));
    WG_ASSERT(splitter.has_value());
    while (!splitter->done()) {
      const MutableBytes segment = splitter->next();
      packets.emplace_back(segment.begin(), segment.end());
    }
  }
  WG_ASSERT(packets.size() == joiner.packet_count(run));
  return packets;
}

void check_round_trip(const std::vector<Sent>& sent, wgring::tun::JoinPolicy policy) {
  std::vector<Packet> work;
  for (const Sent& one : sent) {
    work.push_back(one.packet);
  }
  Joiner joiner(policy);
  for (Packet& packet : work) {
    joiner.add(packet);
  }
  joiner.finish();
  std::vector<Packet> out;
  for (std::size_t run = 0; run < joiner.run_count(); ++run) {
    for (Packet& packet : split(joiner, run)) {
      out.push_back(std::move(packet));
    }
  }
  // Those of one flow in their order, and all of them, byte for byte.
  for (std::size_t flow = 0; flow < 4; ++flow) {
    auto at = out.begin();
    for (const Sent& one : sent) {
      if (one.flow == flow && !one.spoilt) {
        at = std::find(at, out.end(), one.packet);
        WG_ASSERT(at != out.end());
        ++at;
      }
    }
  }
  std::vector<Packet> in;
  for (const Sent& one : sent) {
    in.push_back(one.packet);
  }
  std::ranges::sort(in);
  std::ranges::sort(out);
  WG_ASSERT(in == out);
}

void fuzz_packets(std::uint8_t mode, std::span<const std::uint8_t> choices) {
  std::array<Flow, 4> flows{
      {{true, true, 1}, {true, false, 2}, {false, true, 3}, {false, false, 4}}};
  std::vector<Sent> sent;
  while (choices.size() >= bytes_per_packet && sent.size() < Joiner::packets_max) {
    sent.push_back(make_packet(flows, choices.first(bytes_per_packet)));
    choices = choices.subspan(bytes_per_packet);
  }
  check_round_trip(sent, {.tcp = (mode & 2U) != 0, .udp = (mode & 4U) != 0});
}

void fuzz_splitter(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < VnetHeader::size) {
    return;
  }
  const VnetHeader header = VnetHeader::load(bytes.data());
  // A copy of the exact size, so that the sanitizer sees a step beyond it.
  Packet packet(bytes.begin() + VnetHeader::size, bytes.end());
  packet.shrink_to_fit();
  const Packet before = packet;
  auto splitter = Splitter::open(packet, header);
  WG_ASSERT(packet == before);
  if (!splitter) {
    return;
  }
  const std::uint32_t count = splitter->count();
  std::uint32_t seen = 0;
  while (!splitter->done()) {
    const MutableBytes segment = splitter->next();
    WG_ASSERT(!segment.empty() && segment.data() >= packet.data());
    WG_ASSERT(segment.data() + segment.size() <= packet.data() + packet.size());
    seen += 1;
  }
  WG_ASSERT(seen == count);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::span<const std::uint8_t> rest{data + 1, size - 1};
  if (data[0] % 2 == 0) {
    fuzz_packets(data[0], rest);
  } else {
    fuzz_splitter(rest);
  }
  return 0;
}

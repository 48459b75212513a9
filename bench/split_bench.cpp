// Splitting super-packets of TUN into the packets they stand for. No payload moves, so the bytes
// per second are those of the checksum.
#include "bench/support/packets.hpp"
#include "bench/support/stage.hpp"
#include "noise/split.hpp"

namespace wgring::bench {
namespace {

// A split changes lengths and numbers in the first headers, and no more in front of the payload:
// with those put back one buffer serves all iterations.
void split(benchmark::State& state, const Flow& flow, std::size_t packet_bytes) {
  SuperPacket super = super_packet_of(flow, packet_bytes);
  ByteArray<noise::Splitter::headers_bytes_max> headers{};
  copy_bytes(headers, Bytes{super.bytes}.first(headers.size()));
  std::size_t segments = 0;
  measure(state,
          {.items = static_cast<std::int64_t>(super.segments),
           .bytes = static_cast<std::int64_t>(super.bytes.size())},
          [&] {
            copy_bytes(super.bytes, headers);
            auto splitter = noise::Splitter::open(super.bytes, super.header);
            WG_ASSERT(splitter.has_value());
            while (!splitter->done()) {
              const MutableBytes segment = splitter->next();
              benchmark::DoNotOptimize(segment.data());
              segments += 1;
            }
          });
  WG_ASSERT(segments % super.segments == 0);
}

// A lone packet whose checksum the kernel left to us: most of what a TUN with offloads gives.
void finish_checksum(benchmark::State& state, std::size_t packet_bytes) {
  const Flow flow{.ip = Ip::v4, .transport = Transport::tcp};
  Packet packet = packet_of(flow, packet_bytes);
  const noise::VnetHeader header{.flags = noise::VnetHeader::needs_checksum,
                                 .gso_type = noise::VnetHeader::gso_none,
                                 .header_bytes = 0,
                                 .segment_bytes = 0,
                                 .checksum_start = 20,
                                 .checksum_offset = 16};
  measure(state, {.bytes = static_cast<std::int64_t>(packet_bytes)}, [&] {
    auto splitter = noise::Splitter::open(packet, header);
    WG_ASSERT(splitter.has_value());
    const MutableBytes segment = splitter->next();
    benchmark::DoNotOptimize(segment.data());
  });
}

}  // namespace

void add_benchmarks() {
  for (const Ip ip : {Ip::v4, Ip::v6}) {
    for (const Transport transport : {Transport::tcp, Transport::udp}) {
      for (const std::size_t bytes : {1420U, 200U}) {
        const std::string name = std::string(transport == Transport::tcp ? "tcp" : "udp") +
                                 (ip == Ip::v4 ? "4/" : "6/") + std::to_string(bytes);
        add("split/" + name, [=](benchmark::State& state) {
          split(state, {.ip = ip, .transport = transport}, bytes);
        });
      }
    }
  }
  for (const std::size_t bytes : {64U, 1420U}) {
    add("split/checksum_only/" + std::to_string(bytes),
        [bytes](benchmark::State& state) { finish_checksum(state, bytes); });
  }
}

}  // namespace wgring::bench

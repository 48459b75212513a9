// Joining delivered packets to super-packets for TUN: one train of 45 packets, as the receiver
// has it.
#include <memory>
#include <vector>

#include "bench/support/packets.hpp"
#include "bench/support/stage.hpp"
#include "tun/offload/join.hpp"

namespace wgring::bench {
namespace {

constexpr std::size_t train = 45;
constexpr std::size_t headers_bytes_max = 72;

struct Mix {
  Flow flow;
  std::size_t packet_bytes = 1420;
  std::size_t flows = 1;  // that take turns
  bool joinable = true;   // else fragments, which nothing may join
};

std::vector<Packet> packets_of(const Mix& mix) {
  std::vector<Packet> packets;
  for (std::size_t i = 0; i < train; ++i) {
    Flow flow = mix.flow;
    flow.port = static_cast<std::uint16_t>(flow.port + i % mix.flows);
    packets.push_back(packet_of(flow, mix.packet_bytes, static_cast<std::uint32_t>(i / mix.flows)));
    if (!mix.joinable) {
      packets.back()[6] |= 0x20;
    }
  }
  return packets;
}

// finish() rewrites the headers of a run's first packet; they are put back each time.
void join(benchmark::State& state, const Mix& mix) {
  std::vector<Packet> packets = packets_of(mix);
  const std::vector<Packet> originals = packets;
  const auto joiner = std::make_unique<tun::Joiner>(tun::JoinPolicy{.tcp = true, .udp = true});
  std::size_t runs = 0;
  measure(state, {.items = train, .bytes = static_cast<std::int64_t>(train * mix.packet_bytes)},
          [&] {
            for (std::size_t i = 0; i < mix.flows; ++i) {
              copy_bytes(packets[i],
                         Bytes{originals[i]}.first(std::min(headers_bytes_max, mix.packet_bytes)));
            }
            for (Packet& packet : packets) {
              joiner->add(packet);
            }
            joiner->finish();
            runs = joiner->run_count();
            joiner->clear();
          });
  state.counters["runs"] = static_cast<double>(runs);
}

}  // namespace

void add_benchmarks() {
  const auto named = [](const std::string& name, const Mix& mix) {
    add("join/" + name, [mix](benchmark::State& state) { join(state, mix); });
  };
  constexpr Flow tcp4{.ip = Ip::v4, .transport = Transport::tcp};
  constexpr Flow udp4{.ip = Ip::v4, .transport = Transport::udp};
  named("tcp4/1420", {.flow = tcp4});
  named("tcp6/1420", {.flow = {.ip = Ip::v6, .transport = Transport::tcp}});
  named("udp4/1420", {.flow = udp4});
  named("udp4/64", {.flow = udp4, .packet_bytes = 64});
  named("tcp4/8_flows", {.flow = tcp4, .flows = 8});
  named("tcp4/16_flows", {.flow = tcp4, .flows = 16});
  named("never_joined", {.flow = udp4, .joinable = false});
}

}  // namespace wgring::bench

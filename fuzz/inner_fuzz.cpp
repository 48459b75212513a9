// What a TUN may read: any bytes, behind any virtio_net_hdr. What a whole packet becomes on the
// wire is opened again and compared; of super-packets, each segment is one that the peer would
// take.
//
//   records: | what | header, 10 bytes, if any | packet |
#include <algorithm>

#include "fuzz/input.hpp"
#include "noise/inner.hpp"
#include "tests/sim/raw_peer.hpp"

namespace {

using wgring::Bytes;
using wgring::fuzz::Input;
using wgring::noise::Family;
using wgring::noise::VnetHeader;
using wgring::sim::Datagram;
using wgring::sim::Host;
using wgring::sim::RawPeer;
using wgring::sim::World;
using Packet = std::vector<std::uint8_t>;

constexpr int records_max = 24;
constexpr std::size_t packet_max = 8192;

class Stage {
 public:
  Stage() : host_(world_.add_host()), raw_(world_, host_, 77) {
    raw_.join();
    raw_.establish();
  }

  void record(Input& input) {
    const std::uint8_t what = input.byte();
    const VnetHeader offload =
        (what & 1U) != 0 ? VnetHeader::load(header(input).data()) : VnetHeader{};
    const Packet packet = choose_packet(what, input);
    const std::size_t before = world_.log.size();
    const std::size_t answers = host_.icmp.size();
    world_.send_raw(host_, packet, offload);
    std::size_t sent = 0;
    for (std::size_t i = before; i < world_.log.size(); ++i) {
      sent += check(world_.log[i], packet, offload) ? 1U : 0U;
    }
    if (offload.plain()) {
      WG_ASSERT(sent == (is_for_peer(packet) ? 1U : 0U));
    }
    WG_ASSERT(sent == 0 || host_.icmp.size() == answers);
    WG_ASSERT(world_.checks.failures.empty());
  }
  void finish() {
    world_.set_link(host_, false);
    WG_ASSERT(host_.slots_are_home() && world_.checks.failures.empty());
  }

 private:
  static Packet header(Input& input) {
    const Bytes bytes = input.take(VnetHeader::size);
    Packet made(bytes.begin(), bytes.end());
    made.resize(VnetHeader::size);
    return made;
  }
  Packet choose_packet(std::uint8_t what, Input& input) {
    const Bytes bytes = input.take(input.number() % packet_max);
    Packet packet(bytes.begin(), bytes.end());
    if ((what & 2U) != 0) {  // long ones need no long input
      packet.resize(std::max<std::size_t>(packet.size(), input.number() % packet_max));
    }
    const bool v4 = (what & 4U) == 0;
    if ((what & 8U) == 0 || packet.size() < (v4 ? 20U : 40U)) {
      return packet;
    }
    // A header that is right and leads to the peer; the rest is as it came.
    packet[0] = static_cast<std::uint8_t>(v4 ? 0x40 | (packet[0] & 15U) : 0x60);
    const std::size_t length = packet.size() - (v4 ? 0 : 40);
    wgring::store_be16(packet.data() + (v4 ? 2 : 4), static_cast<std::uint16_t>(length));
    const auto to = wgring::sim::tunnel_address(v4 ? Family::v4 : Family::v6, raw_.number);
    std::ranges::copy(to.significant(), packet.begin() + (v4 ? 16 : 24));
    return packet;
  }
  [[nodiscard]] bool is_for_peer(Bytes packet) const {
    const auto leads = [&](std::size_t at, Family family) {
      const auto to = wgring::sim::tunnel_address(family, raw_.number);
      return std::ranges::equal(packet.subspan(at, to.significant().size()), to.significant());
    };
    return (packet.size() >= 20 && packet[0] / 16 == 4 && leads(16, Family::v4)) ||
           (packet.size() >= 40 && packet[0] / 16 == 6 && leads(24, Family::v6));
  }
  // False: a keepalive or a handshake.
  bool check(const Datagram& datagram, const Packet& packet, const VnetHeader& offload) {
    if (!datagram.is_data() || datagram.is_keepalive()) {
      return false;
    }
    const std::optional<Packet> plain = raw_.open(datagram);
    WG_ASSERT(plain.has_value() && is_for_peer(*plain));
    if (offload.plain()) {
      WG_ASSERT(plain->size() >= packet.size() && plain->size() < packet.size() + 16);
      WG_ASSERT(std::equal(packet.begin(), packet.end(), plain->begin()));
      WG_ASSERT(std::all_of(plain->begin() + static_cast<std::ptrdiff_t>(packet.size()),
                            plain->end(), [](std::uint8_t byte) { return byte == 0; }));
    } else if ((offload.gso_type & ~VnetHeader::gso_ecn) != VnetHeader::gso_none) {
      WG_ASSERT(wgring::noise::parse_incoming(*plain).has_value());
    }
    return true;
  }

  World world_{{.seed = 1, .keep_log = true}};
  Host& host_;
  RawPeer raw_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Stage stage;
  wgring::fuzz::run_records(input, stage, records_max);
  stage.finish();
  return 0;
}

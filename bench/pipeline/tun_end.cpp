#include "bench/pipeline/tun_end.hpp"

#include "bench/support/stage.hpp"

namespace wgring::bench {

TunEnd::TunEnd(const Load& load) : load_(load), random_(seed) {
  const Transport transport = load.kind == Load::Kind::super ? Transport::tcp : Transport::udp;
  const Flow flow{.ip = Ip::v4, .transport = transport};
  if (load.kind == Load::Kind::super) {
    fill_super(flow);
    return;
  }
  for (std::uint32_t i = 0; i < noise::plain_batch_max; ++i) {
    add(packet_of(flow, load.bytes, i), {});
  }
}

void TunEnd::fill_super(const Flow& flow) {
  const SuperPacket super = super_packet_of(flow, load_.bytes);
  super_ = super.bytes;
  segments_ = super.segments;
  copy_bytes(super_headers_, Bytes{super.bytes}.first(super_headers_.size()));
  for (std::size_t i = 0; i < load_.supers; ++i) {
    add(super.bytes, super.header);
  }
}

void TunEnd::add(Packet packet, const noise::VnetHeader& header) {
  const auto bytes = static_cast<std::uint32_t>(packet.size());
  packet.resize(packet.size() + noise::plain_tailroom_bytes);
  buffers_.push_back(std::move(packet));
  plains_.push_back({.data = buffers_.back().data(), .bytes = bytes, .offload = header});
}

}  // namespace wgring::bench

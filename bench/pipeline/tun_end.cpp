#include "bench/pipeline/tun_end.hpp"

#include "bench/support/stage.hpp"

namespace wgring::bench {

TunEnd::TunEnd(const Load& load) : load_(load), random_(seed) {
  const Transport transport = load.kind == Load::Kind::super ? Transport::tcp : Transport::udp;
  const Flow flow{.ip = Ip::v4, .transport = transport};
  for (std::uint32_t i = 0; i < noise::plain_batch_max; ++i) {
    buffers_.push_back(packet_of(flow, load.bytes, i));
    buffers_.back().resize(load.bytes + noise::plain_tailroom_bytes);
  }
  for (Packet& buffer : buffers_) {
    plains_.push_back(
        noise::Plain{.data = buffer.data(), .bytes = static_cast<std::uint32_t>(load.bytes)});
  }
  if (load.kind == Load::Kind::super) {
    super_ = super_packet_of(flow, load.bytes);
    copy_bytes(super_headers_, Bytes{super_.bytes}.first(super_headers_.size()));
    super_.bytes.resize(super_.bytes.size() + noise::plain_tailroom_bytes);
  }
}

}  // namespace wgring::bench

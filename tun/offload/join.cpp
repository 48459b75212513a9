#include "tun/offload/join.hpp"

#include <algorithm>
#include <array>

#include "base/checksum.hpp"

namespace wgring::tun {
namespace {

using noise::VnetHeader;

constexpr std::uint32_t v4_header_bytes = 20;
constexpr std::uint32_t v6_header_bytes = 40;
constexpr std::uint32_t tcp_header_bytes = 20;
constexpr std::uint32_t udp_header_bytes = 8;
constexpr std::uint8_t protocol_tcp = 6;
constexpr std::uint8_t protocol_udp = 17;
constexpr std::uint32_t packet_bytes_max = 0xffff;

constexpr std::uint32_t tcp_flags_at = 13;
constexpr std::uint8_t tcp_psh = 0x08;
constexpr std::uint8_t tcp_ack = 0x10;

// VXLAN (two ports), Geneve, bareudp: before 6.8.5 a tunnel of the kernel takes a joined run for
// one frame, and nothing tells us.
constexpr std::array<std::uint16_t, 4> tunnel_ports{4789, 8472, 6081, 6635};

// How many runs back a flow is looked for: flows that alternate more widely are not worth it.
constexpr std::size_t open_runs_max = 8;

// Of a packet without IPv4 options or IPv6 extension headers.
void set_ip_length(MutableBytes packet, std::uint32_t total) noexcept {
  if (packet[0] >> 4U == 4) {
    store_be16(packet.data() + 2, static_cast<std::uint16_t>(total));
    store_be16(packet.data() + 10, 0);
    InternetSum().add(packet.first(v4_header_bytes)).store(packet.data() + 10);
  } else {
    store_be16(packet.data() + 4, static_cast<std::uint16_t>(total - v6_header_bytes));
  }
}

}  // namespace

void Joiner::add(MutableBytes packet) noexcept {
  const Shape shape = look(packet);
  const auto number = static_cast<std::uint32_t>(packets_.size());
  packets_.push_back(Packet{.bytes = packet, .next = 0});
  const auto payload = static_cast<std::uint32_t>(packet.size()) - shape.headers_bytes;
  if (shape.transport == Transport::none) {
    close_all();  // a fragment, perhaps: what follows it in its flow may not overtake it
  }
  Run* const run = shape.transport == Transport::none ? nullptr : latest_of_flow(packet, shape);
  const bool push = shape.transport == Transport::tcp && shape.joinable &&
                    (packet[shape.transport_at + tcp_flags_at] & tcp_psh) != 0;
  if (run != nullptr && shape.joinable && continues(*run, packet)) {
    packets_[run->last].next = number;
    run->last = number;
    run->count += 1;
    run->payload_bytes += payload;
    run->push = run->push || push;
    run->closed = push || payload < run->segment_bytes;
    return;
  }
  Run fresh;
  fresh.shape = shape;
  fresh.first = fresh.last = number;
  fresh.count = 1;
  fresh.headers_bytes = shape.headers_bytes;
  fresh.segment_bytes = fresh.payload_bytes = payload;
  fresh.closed = push || !shape.joinable;
  runs_.push_back(fresh);
}

void Joiner::close_all() noexcept {
  for (Run& run : runs_) {
    run.closed = true;
  }
}

void Joiner::clear() noexcept {
  packets_.clear();
  runs_.clear();
}

// --- one look at the headers ---

Joiner::Shape Joiner::look(Bytes packet) const noexcept {
  Shape shape;
  shape.v4 = packet[0] >> 4U == 4;  // an Inner is IPv4 or IPv6 with its whole header
  if (shape.v4) {
    const bool options = packet[0] != 0x45;
    const bool fragment = (load_be16(packet.data() + 6) & 0x3fffU) != 0;
    // A header that is broken already must not be repaired by the one we will write.
    if (options || fragment || load_be16(packet.data() + 2) != packet.size() ||
        InternetSum().add(packet.first(v4_header_bytes)).folded() != 0xffff) {
      return shape;
    }
    shape.transport_at = v4_header_bytes;
    return look_transport(packet, shape, packet[9]);
  }
  if (load_be16(packet.data() + 4) + std::size_t{v6_header_bytes} != packet.size()) {
    return shape;
  }
  shape.transport_at = v6_header_bytes;
  return look_transport(packet, shape, packet[6]);
}

Joiner::Shape Joiner::look_transport(Bytes packet, Shape shape,
                                     std::uint8_t protocol) const noexcept {
  const Bytes transport = packet.subspan(shape.transport_at);
  if (protocol == protocol_tcp && transport.size() >= tcp_header_bytes) {
    const std::uint32_t header = std::uint32_t{transport[12]} / 16 * 4;
    const auto flags = static_cast<std::uint8_t>(transport[tcp_flags_at] & ~tcp_psh);
    shape.transport = Transport::tcp;
    shape.headers_bytes = shape.transport_at + header;
    shape.joinable = policy_.tcp && header >= tcp_header_bytes && flags == tcp_ack &&
                     (transport[12] & 0x0fU) == 0 && shape.headers_bytes < packet.size();
  } else if (protocol == protocol_udp && transport.size() >= udp_header_bytes) {
    shape.transport = Transport::udp;
    shape.headers_bytes = shape.transport_at + udp_header_bytes;
    const bool tunnel =
        std::ranges::find(tunnel_ports, load_be16(transport.data() + 2)) != tunnel_ports.end();
    shape.joinable = policy_.udp && !tunnel &&
                     load_be16(transport.data() + 4) == transport.size() &&
                     load_be16(transport.data() + 6) != 0 && shape.headers_bytes < packet.size();
  }
  if (!shape.joinable) {
    shape.headers_bytes = 0;
  }
  return shape;
}

// --- which run, and may it grow ---

Joiner::Run* Joiner::latest_of_flow(Bytes packet, const Shape& shape) noexcept {
  const std::size_t oldest = runs_.size() > open_runs_max ? runs_.size() - open_runs_max : 0;
  for (std::size_t i = runs_.size(); i > oldest; --i) {
    if (same_flow(runs_[i - 1], packet, shape)) {
      return &runs_[i - 1];
    }
  }
  return nullptr;
}

bool Joiner::same_flow(const Run& run, Bytes packet, const Shape& shape) const noexcept {
  if (run.shape.transport != shape.transport || run.shape.v4 != shape.v4) {
    return false;
  }
  const Bytes first = first_packet(run);
  const std::size_t addresses_at = shape.v4 ? 12 : 8;
  const std::size_t addresses_bytes = shape.v4 ? 8 : 32;
  return load_be32(first.data() + shape.transport_at) ==
             load_be32(packet.data() + shape.transport_at) &&
         equal_public(first.subspan(addresses_at, addresses_bytes),
                      packet.subspan(addresses_at, addresses_bytes));
}

bool Joiner::continues(const Run& run, Bytes packet) const noexcept {
  const Bytes first = first_packet(run);
  const std::size_t payload = packet.size() - run.headers_bytes;
  if (run.closed || packet.size() <= run.headers_bytes || payload > run.segment_bytes ||
      run.headers_bytes + run.payload_bytes + payload > packet_bytes_max) {
    return false;
  }
  if (run.shape.v4) {
    // TOS, DF and TTL as in the first one; identification counts on, as a split will make it.
    const bool same = first[1] == packet[1] && first[8] == packet[8] &&
                      load_be16(first.data() + 6) == load_be16(packet.data() + 6);
    const std::uint16_t began = load_be16(first.data() + 4);
    const std::uint16_t number = load_be16(packet.data() + 4);
    const bool counts = number == static_cast<std::uint16_t>(began + run.count);
    if (!same || !counts) {
      return false;
    }
  } else if (load_be32(first.data()) != load_be32(packet.data()) || first[7] != packet[7]) {
    return false;  // traffic class, flow label, hop limit
  }
  return run.shape.transport == Transport::udp || tcp_continues(run, packet);
}

bool Joiner::tcp_continues(const Run& run, Bytes packet) const noexcept {
  const std::size_t at = run.shape.transport_at;
  const Bytes ours = first_packet(run).subspan(at, run.headers_bytes - at);
  const Bytes next = packet.subspan(at, run.headers_bytes - at);
  const bool in_sequence =
      load_be32(next.data() + 4) == load_be32(ours.data() + 4) + run.payload_bytes;
  // Acknowledgement, header length, window, urgent pointer and options are those of the first;
  // of the flags only PSH may differ (look() admits no others).
  return in_sequence && load_be32(next.data() + 8) == load_be32(ours.data() + 8) &&
         next[12] == ours[12] && load_be16(next.data() + 14) == load_be16(ours.data() + 14) &&
         load_be16(next.data() + 18) == load_be16(ours.data() + 18) &&
         equal_public(next.subspan(tcp_header_bytes), ours.subspan(tcp_header_bytes));
}

// --- headers of what was joined ---

void Joiner::finish() noexcept {
  for (Run& run : runs_) {
    if (run.count > 1) {
      finish_run(run);
    }
  }
}

void Joiner::finish_run(Run& run) noexcept {
  const bool tcp = run.shape.transport == Transport::tcp;
  const MutableBytes first = packets_[run.first].bytes;
  const std::uint16_t checksum_offset = tcp ? 16 : 6;
  run.undo = {.headers_bytes = run.headers_bytes,
              .transport_at = run.shape.transport_at,
              .tcp = tcp,
              .tcp_flags = tcp ? first[run.shape.transport_at + tcp_flags_at] : std::uint8_t{0},
              .checksum = load_be16(first.data() + run.shape.transport_at + checksum_offset)};
  const std::uint32_t total = run.headers_bytes + run.payload_bytes;
  set_ip_length(first, total);
  const MutableBytes transport = first.subspan(run.shape.transport_at);
  const auto length = static_cast<std::uint16_t>(total - run.shape.transport_at);
  if (tcp && run.push) {
    transport[tcp_flags_at] = static_cast<std::uint8_t>(transport[tcp_flags_at] | tcp_psh);
  }
  if (!tcp) {
    store_be16(transport.data() + 4, length);
  }
  const Bytes addresses = run.shape.v4 ? Bytes{first}.subspan(12, 8) : Bytes{first}.subspan(8, 32);
  InternetSum()
      .add(addresses)
      .add_be16(tcp ? protocol_tcp : protocol_udp)
      .add_be16(length)
      .store_partial(transport.data() + checksum_offset);
  const std::uint8_t tcp_kind = run.shape.v4 ? VnetHeader::gso_tcp4 : VnetHeader::gso_tcp6;
  run.header = {.flags = VnetHeader::needs_checksum,
                .gso_type = tcp ? tcp_kind : VnetHeader::gso_udp_l4,
                .header_bytes = static_cast<std::uint16_t>(run.headers_bytes),
                .segment_bytes = static_cast<std::uint16_t>(run.segment_bytes),
                .checksum_start = static_cast<std::uint16_t>(run.shape.transport_at),
                .checksum_offset = checksum_offset};
}

void Joiner::restore(MutableBytes first, const Undo& undo) noexcept {
  set_ip_length(first, static_cast<std::uint32_t>(first.size()));
  const MutableBytes transport = first.subspan(undo.transport_at);
  if (undo.tcp) {
    transport[tcp_flags_at] = undo.tcp_flags;
  } else {
    store_be16(transport.data() + 4, static_cast<std::uint16_t>(transport.size()));
  }
  store_be16(transport.data() + (undo.tcp ? 16 : 6), undo.checksum);
}

}  // namespace wgring::tun

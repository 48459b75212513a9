// Super-packets of any shape, as a TUN with offloads reads them; right ones and wrong ones.
#pragma once

#include "tests/sim/world.hpp"

namespace wgring::sim {

// A super-packet between two tunnel addresses, or with `segment` 0 a packet that only lacks its
// checksum. What is in the checksum field is noise, which comes out as other noise.
inline TunRead super_packet(noise::Family family, bool tcp, std::uint16_t from, std::uint16_t to,
                            std::size_t payload, std::uint16_t segment) {
  const std::uint32_t ip_bytes = family == noise::Family::v4 ? 20 : 40;
  const std::uint32_t transport_bytes = tcp ? 32 : 8;
  const auto bytes = static_cast<std::uint32_t>(ip_bytes + transport_bytes + payload);
  TunRead read;
  read.packet = make_inner({.number = inner_numbers_max - 1,
                            .family = family,
                            .from = from,
                            .to = to,
                            .bytes = ip_bytes});
  read.packet.resize(bytes);
  std::uint8_t* const at = read.packet.data();
  if (family == noise::Family::v4) {
    store_be16(at + 2, static_cast<std::uint16_t>(bytes));
    at[9] = tcp ? 6 : 17;
  } else {
    store_be16(at + 4, static_cast<std::uint16_t>(bytes - ip_bytes));
    at[6] = tcp ? 6 : 17;
  }
  for (std::uint32_t i = ip_bytes; i < bytes; ++i) {
    at[i] = static_cast<std::uint8_t>(i * 31 + i / 251);
  }
  if (tcp) {
    at[ip_bytes + 12] = 0x80;
    at[ip_bytes + 13] = 0x99;
  }
  const std::uint8_t kind = segment == 0                  ? noise::VnetHeader::gso_none
                            : !tcp                        ? noise::VnetHeader::gso_udp_l4
                            : family == noise::Family::v4 ? noise::VnetHeader::gso_tcp4
                                                          : noise::VnetHeader::gso_tcp6;
  read.offload = {.flags = noise::VnetHeader::needs_checksum,
                  .gso_type = kind,
                  .header_bytes = 0,
                  .segment_bytes = segment,
                  .checksum_start = static_cast<std::uint16_t>(ip_bytes),
                  .checksum_offset = static_cast<std::uint16_t>(tcp ? 16 : 6)};
  return read;
}

}  // namespace wgring::sim

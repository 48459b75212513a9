// The offloads by name: each has a switch, a probe, and a word in log and statistics.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace wgring::tun {

enum class Offload : std::uint8_t {
  tun_tso,       // TUN gives TCP super-packets
  tun_uso,       // TUN gives UDP super-packets
  tun_tcp_join,  // TUN takes TCP super-packets
  tun_udp_join,  // TUN takes UDP super-packets
  udp_gso,       // a train leaves by one UDP_SEGMENT message
  udp_gro,       // runs of datagrams arrive as trains
  count,
};
inline constexpr std::size_t offload_count = static_cast<std::size_t>(Offload::count);

// "tun-tso", "udp-gro", ...
[[nodiscard]] std::string_view offload_name(Offload) noexcept;

// What is on, and for the others why not: fixed text.
class Offloads {
 public:
  [[nodiscard]] bool has(Offload offload) const noexcept { return why_off_[at(offload)].empty(); }
  void turn_off(Offload offload, std::string_view why) noexcept {
    if (has(offload)) {
      why_off_[at(offload)] = why;
    }
  }
  [[nodiscard]] std::string_view why_off(Offload offload) const noexcept {
    return why_off_[at(offload)];
  }
  // Nothing of it makes sense on a TUN without virtio_net_hdr.
  void turn_off_tun(std::string_view why) noexcept {
    for (const Offload offload :
         {Offload::tun_tso, Offload::tun_uso, Offload::tun_tcp_join, Offload::tun_udp_join}) {
      turn_off(offload, why);
    }
  }

 private:
  [[nodiscard]] static constexpr std::size_t at(Offload offload) noexcept {
    return static_cast<std::size_t>(offload);
  }
  std::array<std::string_view, offload_count> why_off_{};
};

}  // namespace wgring::tun

#include "tun/offload/offloads.hpp"

namespace wgring::tun {

std::string_view offload_name(Offload offload) noexcept {
  switch (offload) {
    case Offload::tun_tso:
      return "tun-tso";
    case Offload::tun_uso:
      return "tun-uso";
    case Offload::tun_tcp_join:
      return "tun-tcp-join";
    case Offload::tun_udp_join:
      return "tun-udp-join";
    case Offload::udp_gso:
      return "udp-gso";
    case Offload::udp_gro:
    case Offload::count:
      break;
  }
  return "udp-gro";
}

}  // namespace wgring::tun

// Offloads are tried before they are used: what a kernel says it can and what it does differ.
#pragma once

#include "tun/offload/offloads.hpp"

namespace wgring::tun {

// Sends a train of equal segments over loopback to a socket with and one without UDP_GRO, and
// compares every byte: some kernels refuse, some ignore the request, some damage such trains. Where
// loopback is down (a fresh namespace) only the kernel's word is asked. Turns off udp_gso, udp_gro.
void probe_udp(Offloads& offloads) noexcept;

// Writes a TCP and a UDP super-packet to the TUN while its link is down: headers are judged before
// the link is, so EIO means that they were taken, and nothing is ever delivered. With the link up
// the packets are martians. Turns off tun_tcp_join, tun_udp_join.
void probe_tun_writes(int tun_fd, Offloads& offloads) noexcept;

}  // namespace wgring::tun

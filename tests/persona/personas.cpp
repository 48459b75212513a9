#include "tests/persona/personas.hpp"

#include <algorithm>
#include <array>
#include <initializer_list>

#include <errno.h>
#include <linux/if_tun.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

namespace wgring::persona {
namespace {

// Names that the headers of Debian 12 do not have, and the first numbers of ranges.
constexpr std::uint32_t tun_get_devnetns = _IO('T', 227);
constexpr std::uint32_t rwf_nowait = 8;
constexpr int error_not_supported = 524;  // ENOTSUPP: inside the kernel, yet seen from outside

// Since 5.1 a call has the same number on every architecture, in the order of its arrival.
constexpr int first_call_of_5_1 = 424;
constexpr int first_call_of_5_5 = 436;
constexpr int calls_end = 512;  // x86-64 counts on with another ABI there

constexpr std::uint32_t first_socket_option_of_4_19 = 61;
constexpr std::uint32_t first_socket_option_of_5_0 = 62;
constexpr std::uint32_t first_socket_option_of_5_5 = 69;
constexpr std::uint32_t socket_options_end = 100;

constexpr std::uint32_t first_uring_registration_of_5_5 = 6;
constexpr std::uint32_t uring_registrations_end = 64;
constexpr std::uint32_t register_pbuf_ring = 22;

void refuse_calls_since(Filter& filter, int first) {
  for (int call = first; call < calls_end; ++call) {
    filter.refuse(call, ENOSYS);
  }
}

void refuse_socket_option(Filter& filter, int level, std::uint32_t option, int error) {
  for (const int call : {SCMP_SYS(setsockopt), SCMP_SYS(getsockopt)}) {
    filter.refuse(call, error, {equals(1, static_cast<std::uint32_t>(level)), equals(2, option)});
  }
}

void refuse_socket_options_since(Filter& filter, std::uint32_t first) {
  for (std::uint32_t option = first; option < socket_options_end; ++option) {
    refuse_socket_option(filter, SOL_SOCKET, option, ENOPROTOOPT);
  }
}

void refuse_tun_requests(Filter& filter, std::initializer_list<std::uint64_t> requests) {
  for (const std::uint64_t request : requests) {
    filter.refuse(SCMP_SYS(ioctl), EINVAL, {equals(1, static_cast<std::uint32_t>(request))});
  }
}

// What 5.4 and older have in common.
void no_uso(Filter& filter) {
  // USO4, USO6 and two for tunnels.
  for (const std::uint32_t bit : {0x20U, 0x40U, 0x80U, 0x100U}) {
    filter.refuse(SCMP_SYS(ioctl), EINVAL, {equals(1, TUNSETOFFLOAD), has_bit(2, bit)});
  }
  for (const int call : {SCMP_SYS(preadv2), SCMP_SYS(pwritev2)}) {
    filter.refuse(call, EOPNOTSUPP, {has_bit(5, rwf_nowait)});
  }
}

// What 4.19 and older have in common.
void before_5_0(Filter& filter) {
  no_uso(filter);
  refuse_calls_since(filter, first_call_of_5_1);
  refuse_socket_option(filter, SOL_UDP, UDP_GRO, ENOPROTOOPT);
  // Known there, and refused for UDP.
  filter.refuse(SCMP_SYS(setsockopt), error_not_supported,
                {equals(1, SOL_SOCKET), equals(2, SO_ZEROCOPY)});
  refuse_tun_requests(filter, {TUNSETCARRIER, tun_get_devnetns});
}

void rules_4_14(Filter& filter) {
  before_5_0(filter);
  filter.refuse(SCMP_SYS(rseq), ENOSYS);
  filter.refuse(SCMP_SYS(io_pgetevents), ENOSYS);
  refuse_socket_option(filter, SOL_UDP, UDP_SEGMENT, ENOPROTOOPT);
  refuse_socket_options_since(filter, first_socket_option_of_4_19);
  refuse_tun_requests(filter, {TUNSETSTEERINGEBPF, TUNSETFILTEREBPF});
}

void rules_4_14_sends(Filter& filter) {
  rules_4_14(filter);
  filter.ask(SCMP_SYS(sendmsg));
  filter.ask(SCMP_SYS(sendmmsg));
}

void rules_4_19(Filter& filter) {
  before_5_0(filter);
  refuse_socket_options_since(filter, first_socket_option_of_5_0);
}

void rules_5_4(Filter& filter) {
  no_uso(filter);
  refuse_calls_since(filter, first_call_of_5_5);
  refuse_socket_options_since(filter, first_socket_option_of_5_5);
  for (std::uint32_t what = first_uring_registration_of_5_5; what < uring_registrations_end;
       ++what) {
    filter.refuse(SCMP_SYS(io_uring_register), EINVAL, {equals(1, what)});
  }
  // Only GETEVENTS and SQ_WAKEUP are known.
  for (const std::uint32_t flag : {4U, 8U, 16U, 32U, 64U, 128U}) {
    filter.refuse(SCMP_SYS(io_uring_enter), EINVAL, {has_bit(3, flag)});
  }
}

// No filter sees the flags of io_uring_setup: this is how a ring of today becomes a basic one.
void rules_no_pbuf_ring(Filter& filter) {
  filter.refuse(SCMP_SYS(io_uring_register), EINVAL, {equals(1, register_pbuf_ring)});
}

void no_uring(Filter& filter, int error) {
  for (const int call :
       {SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register)}) {
    filter.refuse(call, error);
  }
}

void rules_container(Filter& filter) {
  no_uring(filter, EPERM);
  filter.refuse(SCMP_SYS(bpf), EPERM);
}

// Operations of a ring are no system calls: nobody would be asked about them.
void rules_tun_writes(Filter& filter) {
  no_uring(filter, ENOSYS);
  // Shorter ones hold no packet behind a header: an eventfd, a byte in a pipe.
  for (const int call : {SCMP_SYS(write), SCMP_SYS(pwrite64)}) {
    filter.ask(call, {at_least(2, 11)});
  }
  for (const int call : {SCMP_SYS(writev), SCMP_SYS(pwritev), SCMP_SYS(pwritev2)}) {
    filter.ask(call);
  }
}

void rules_udp_sends(Filter& filter) {
  no_uring(filter, ENOSYS);
  filter.ask(SCMP_SYS(sendmsg));
  filter.ask(SCMP_SYS(sendmmsg));
}

constexpr std::array<Persona, 10> table{{
    {.name = "4.14",
     .what = "no io_uring, UDP_SEGMENT, UDP_GRO, USO, nor any system call since 4.15",
     .rules = rules_4_14},
    {.name = "4.14-sends",
     .what = "the same, and a control message UDP_SEGMENT is passed over in silence; slower",
     .rules = rules_4_14_sends,
     .judge = send_trains_whole},
    {.name = "4.19",
     .what = "no io_uring, UDP_GRO, USO, nor any system call since 5.0",
     .rules = rules_4_19},
    {.name = "5.4",
     .what = "a ring that refuses REGISTER_PROBE; no USO, nor any system call since 5.5",
     .rules = rules_5_4},
    {.name = "no-pbuf-ring",
     .what = "a ring that refuses REGISTER_PBUF_RING: the basic engine, for who asks for uring",
     .rules = rules_no_pbuf_ring},
    {.name = "container", .what = "io_uring_* and bpf give EPERM", .rules = rules_container},
    {.name = "vnet-einval",
     .what = "a TUN write with a GSO header gives EINVAL; no io_uring",
     .rules = rules_tun_writes,
     .judge = refuse_gso_write},
    {.name = "vnet-einval-late",
     .what = "the same after the first eight of them: a test at start passes",
     .rules = rules_tun_writes,
     .judge = refuse_late_gso_write},
    {.name = "gso-eio",
     .what = "a send with UDP_SEGMENT gives EIO; no io_uring",
     .rules = rules_udp_sends,
     .judge = refuse_gso_send},
    {.name = "gso-eio-wire",
     .what = "the same, but loopback takes them: a test at start passes",
     .rules = rules_udp_sends,
     .judge = refuse_gso_send_on_wire},
}};

}  // namespace

std::span<const Persona> personas() noexcept { return table; }

const Persona* find_persona(std::string_view name) noexcept {
  const auto* const found = std::ranges::find(table, name, &Persona::name);
  return found == table.end() ? nullptr : found;
}

}  // namespace wgring::persona

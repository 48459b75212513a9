#include "tun/engine/counters.hpp"

#include <iterator>

#include <errno.h>

namespace wgring::tun {

IoError classify_errno(int errno_value) noexcept {
  switch (errno_value) {
    case ENOBUFS:
    case ENOMEM:
      return IoError::no_buffers;
    case EPERM:
    case EACCES:
      return IoError::not_permitted;
    case ENETUNREACH:
      return IoError::network_unreachable;
    case EHOSTUNREACH:
      return IoError::host_unreachable;
    case EMSGSIZE:
      return IoError::message_too_long;
    case EINVAL:
      return IoError::invalid;
    case EIO:
      return IoError::io;
    case ENETDOWN:
      return IoError::network_down;
    case ECONNREFUSED:
      return IoError::connection_refused;
    case EADDRNOTAVAIL:
      return IoError::address_unavailable;
    case ENODEV:
    case ENXIO:
      return IoError::no_device;
    case EAGAIN:
      return IoError::would_block;
    default:
      return IoError::other;
  }
}

bool blames_source(int errno_value) noexcept {
  switch (errno_value) {
    case EINVAL:
    case EADDRNOTAVAIL:
    case ENETUNREACH:
    case ENODEV:
      return true;
    default:
      return false;
  }
}

std::string_view io_error_name(IoError error) noexcept {
  switch (error) {
    case IoError::no_buffers:
      return "no_buffers";
    case IoError::not_permitted:
      return "not_permitted";
    case IoError::network_unreachable:
      return "network_unreachable";
    case IoError::host_unreachable:
      return "host_unreachable";
    case IoError::message_too_long:
      return "message_too_long";
    case IoError::invalid:
      return "invalid";
    case IoError::io:
      return "io";
    case IoError::network_down:
      return "network_down";
    case IoError::connection_refused:
      return "connection_refused";
    case IoError::address_unavailable:
      return "address_unavailable";
    case IoError::no_device:
      return "no_device";
    case IoError::would_block:
      return "would_block";
    case IoError::other:
    case IoError::count:
      break;
  }
  return "other";
}

IoErrors& IoErrors::operator+=(const IoErrors& more) noexcept {
  for (std::size_t i = 0; i < packets.size(); ++i) {
    packets[i] += more.packets[i];
  }
  return *this;
}

EngineCounters& EngineCounters::operator+=(const EngineCounters& more) noexcept {
  using Number = std::uint64_t EngineCounters::*;
  using Errors = IoErrors EngineCounters::*;
  constexpr Number numbers[] = {&EngineCounters::udp_received,
                                &EngineCounters::udp_sent,
                                &EngineCounters::tun_read,
                                &EngineCounters::tun_written,
                                &EngineCounters::udp_truncated,
                                &EngineCounters::udp_no_buffer,
                                &EngineCounters::udp_backlog_full,
                                &EngineCounters::udp_no_socket,
                                &EngineCounters::udp_kernel_dropped,
                                &EngineCounters::door_dropped,
                                &EngineCounters::door_full,
                                &EngineCounters::tun_after_end,
                                &EngineCounters::sources_refused,
                                &EngineCounters::receive_ring_empty,
                                &EngineCounters::send_waits,
                                &EngineCounters::trains_sent,
                                &EngineCounters::trains_received,
                                &EngineCounters::strangers_received,
                                &EngineCounters::strangers_let_in,
                                &EngineCounters::super_packets_read,
                                &EngineCounters::super_packets_written,
                                &EngineCounters::segmentation_refused,
                                &EngineCounters::joining_refused};
  constexpr Errors errors[] = {&EngineCounters::send_errors, &EngineCounters::receive_errors,
                               &EngineCounters::tun_errors};
  static_assert(sizeof(EngineCounters) ==
                std::size(numbers) * sizeof(std::uint64_t) + std::size(errors) * sizeof(IoErrors));
  for (const Number number : numbers) {
    this->*number += more.*number;
  }
  for (const Errors kind : errors) {
    this->*kind += more.*kind;
  }
  return *this;
}

std::uint64_t IoErrors::sum() const noexcept {
  std::uint64_t all = 0;
  for (const std::uint64_t one : packets) {
    all += one;
  }
  return all;
}

}  // namespace wgring::tun

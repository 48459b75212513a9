#include "tun/engine/counters.hpp"

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

std::uint64_t IoErrors::sum() const noexcept {
  std::uint64_t all = 0;
  for (const std::uint64_t one : packets) {
    all += one;
  }
  return all;
}

}  // namespace wgring::tun

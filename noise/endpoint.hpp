// Where a peer is, and from which of our addresses we speak to it (protocol section 17).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.hpp"

namespace wgring::noise {

enum class Family : std::uint8_t { none = 0, v4 = 4, v6 = 6 };

// An IP address in network order; a v4 one uses the first four bytes, the rest is zero.
struct IpAddress {
  Family family = Family::none;
  ByteArray<16> bytes{};

  [[nodiscard]] Bytes significant() const noexcept {
    return Bytes{bytes}.first(family == Family::v4 ? 4 : family == Family::v6 ? 16 : 0);
  }
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

struct SocketAddress {
  IpAddress ip;
  std::uint16_t port = 0;      // host order
  std::uint32_t scope_id = 0;  // v6 link-local only

  [[nodiscard]] bool is_set() const noexcept { return ip.family != Family::none; }
  // Of one who has sent something: port 0 may be a source, and nothing can be sent to it.
  [[nodiscard]] bool answerable() const noexcept { return port != 0; }
  friend bool operator==(const SocketAddress&, const SocketAddress&) = default;
};

// Sticky source: the local address a packet came to, and the interface it came in by. Unset
// family: let the kernel choose.
struct LocalSource {
  IpAddress ip;
  std::uint32_t interface_index = 0;
  friend bool operator==(const LocalSource&, const LocalSource&) = default;
};

struct Endpoint {
  SocketAddress remote;
  LocalSource source;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

}  // namespace wgring::noise

// What the kernel's routing tables say of a datagram, without sending one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/result.hpp"
#include "noise/endpoint.hpp"
#include "tun/netlink.hpp"

namespace wgring::tun {

// Of IPv4, by UDP.
struct RouteQuery {
  noise::Endpoint endpoint;  // from its source to its remote
  std::uint16_t local_port = 0;
  std::uint32_t fwmark = 0;
};

struct RouteAnswer {
  int errno_value = 0;  // not 0: it would not be sent; EINVAL: the source is no address of ours
  std::uint32_t interface_index = 0;
};

// Owner: the control thread. Needs no capability.
class RouteQuestion {
 public:
  using Buffer = std::array<char, 4096>;  // holds one route

  [[nodiscard]] static Result<RouteQuestion> open() noexcept;
  // Nothing: the kernel did not say. It answers within the call that asks, so nobody waits.
  [[nodiscard]] std::optional<RouteAnswer> ask(const RouteQuery& query) noexcept;

 private:
  explicit RouteQuestion(NetlinkSocket socket) noexcept : socket_(std::move(socket)) {}

  [[nodiscard]] bool is_ours(const noise::IpAddress& address) noexcept;

  NetlinkSocket socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace wgring::tun

#include "tun/message.hpp"

#include <algorithm>

#include <netinet/udp.h>

namespace wgring::tun {
namespace {

// The kernel's structures as bytes: they come and go by copy, so no alignment is assumed.
template <typename T>
Bytes view(const T& object) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(&object), sizeof object};
}
template <typename T>
MutableBytes view_mutable(T& object) noexcept {
  return {reinterpret_cast<std::uint8_t*>(&object), sizeof object};
}
template <typename T>
T copy_of(const void* from) noexcept {
  return detail::load<T>(static_cast<const std::uint8_t*>(from));
}

// fe80::/10
bool is_link_local(const noise::IpAddress& ip) noexcept {
  return ip.family == noise::Family::v6 && ip.bytes[0] == 0xfe && (ip.bytes[1] & 0xc0) == 0x80;
}

noise::IpAddress ip_of(const in_addr& from) noexcept {
  noise::IpAddress ip{.family = noise::Family::v4};
  copy_bytes(ip.bytes, view(from));
  return ip;
}
noise::IpAddress ip_of(const in6_addr& from) noexcept {
  noise::IpAddress ip{.family = noise::Family::v6};
  copy_bytes(ip.bytes, view(from));
  return ip;
}

// Appends one control message; the caller's buffer has room for all that are ever put there.
class ControlWriter {
 public:
  explicit ControlWriter(SendControl& control) noexcept : control_(control) { control_.bytes = 0; }

  template <typename T>
  void append(int level, int type, const T& value) noexcept {
    WG_ASSERT(control_.bytes + CMSG_SPACE(sizeof value) <= SendControl::bytes_max);
    const MutableBytes at =
        MutableBytes{control_.data}.subspan(control_.bytes).first(CMSG_SPACE(sizeof value));
    fill_zero(at);
    cmsghdr head{};
    head.cmsg_len = CMSG_LEN(sizeof value);
    head.cmsg_level = level;
    head.cmsg_type = type;
    copy_bytes(at, view(head));
    copy_bytes(at.subspan(CMSG_LEN(0)), view(value));
    control_.bytes += CMSG_SPACE(sizeof value);
  }

 private:
  SendControl& control_;
};

template <typename T>
bool read_control(const cmsghdr& message, T& value) noexcept {
  if (message.cmsg_len < CMSG_LEN(sizeof value)) {
    return false;
  }
  value = copy_of<T>(CMSG_DATA(&message));
  return true;
}

void build_v4_control(const noise::LocalSource& source, std::uint8_t traffic_class,
                      ControlWriter& writer) noexcept {
  if (source.ip.family == noise::Family::v4) {
    // The address only. An interface index here would force the packet out of that interface
    // even where the routes say otherwise, as if the peer were on its link.
    in_pktinfo info{};
    copy_bytes(view_mutable(info.ipi_spec_dst),
               Bytes{source.ip.bytes}.first(sizeof info.ipi_spec_dst));
    writer.append(IPPROTO_IP, IP_PKTINFO, info);
  }
  if (traffic_class != 0) {
    writer.append(IPPROTO_IP, IP_TOS, static_cast<int>(traffic_class));
  }
}

void build_v6_control(const noise::Endpoint& endpoint, std::uint8_t traffic_class,
                      ControlWriter& writer) noexcept {
  const noise::LocalSource& source = endpoint.source;
  if (source.ip.family == noise::Family::v6) {
    in6_pktinfo info{};
    copy_bytes(view_mutable(info.ipi6_addr), Bytes{source.ip.bytes}.first(sizeof info.ipi6_addr));
    // A link-local address means nothing without its link.
    info.ipi6_ifindex =
        is_link_local(source.ip) || is_link_local(endpoint.remote.ip) ? source.interface_index : 0;
    writer.append(IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
  if (traffic_class != 0) {
    writer.append(IPPROTO_IPV6, IPV6_TCLASS, static_cast<int>(traffic_class));
  }
}

void parse_v4_control(const cmsghdr& message, noise::Wild& wild) noexcept {
  if (message.cmsg_type == IP_PKTINFO) {
    if (in_pktinfo info{}; read_control(message, info)) {
      // The address to answer from, which for a broadcast is not the one it was sent to.
      wild.destination.ip = ip_of(info.ipi_spec_dst);
      wild.destination.interface_index = static_cast<std::uint32_t>(info.ipi_ifindex);
      wild.to_many = info.ipi_spec_dst.s_addr != info.ipi_addr.s_addr;
    }
  } else if (message.cmsg_type == IP_TOS) {
    if (std::uint8_t tos = 0; read_control(message, tos)) {
      wild.ecn = tos & 0x3U;
    }
  }
}

void parse_v6_control(const cmsghdr& message, noise::Wild& wild) noexcept {
  if (message.cmsg_type == IPV6_PKTINFO) {
    if (in6_pktinfo info{}; read_control(message, info)) {
      wild.to_many = IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
      if (!wild.to_many) {  // nobody answers from that address
        wild.destination.ip = ip_of(info.ipi6_addr);
      }
      wild.destination.interface_index = static_cast<std::uint32_t>(info.ipi6_ifindex);
    }
  } else if (message.cmsg_type == IPV6_TCLASS) {
    if (int traffic_class = 0; read_control(message, traffic_class)) {
      wild.ecn = static_cast<std::uint8_t>(static_cast<unsigned>(traffic_class) & 0x3U);
    }
  }
}

// Two bytes on some kernels, four on others.
void parse_gro(const cmsghdr& message, noise::Wild& wild) noexcept {
  if (int bytes = 0; read_control(message, bytes)) {
    wild.stride_bytes = bytes > 0 ? static_cast<std::uint32_t>(bytes) : 0;
  } else if (std::uint16_t few = 0; read_control(message, few)) {
    wild.stride_bytes = few;
  }
}

}  // namespace

void to_native(const noise::SocketAddress& from, NativeAddress& to) noexcept {
  if (from.ip.family == noise::Family::v4) {
    to.v4 = {};
    to.v4.sin_family = AF_INET;
    to.v4.sin_port = htons(from.port);
    copy_bytes(view_mutable(to.v4.sin_addr), Bytes{from.ip.bytes}.first(sizeof to.v4.sin_addr));
    to.bytes = sizeof to.v4;
  } else {
    WG_ASSERT(from.ip.family == noise::Family::v6);
    to.v6 = {};
    to.v6.sin6_family = AF_INET6;
    to.v6.sin6_port = htons(from.port);
    to.v6.sin6_scope_id = is_link_local(from.ip) ? from.scope_id : 0;
    copy_bytes(view_mutable(to.v6.sin6_addr), Bytes{from.ip.bytes}.first(sizeof to.v6.sin6_addr));
    to.bytes = sizeof to.v6;
  }
}

noise::SocketAddress from_native(const sockaddr* from, socklen_t bytes) noexcept {
  noise::SocketAddress to;
  if (bytes >= sizeof(sockaddr_in) && from->sa_family == AF_INET) {
    const auto v4 = copy_of<sockaddr_in>(from);
    to.ip = ip_of(v4.sin_addr);
    to.port = ntohs(v4.sin_port);
  } else if (bytes >= sizeof(sockaddr_in6) && from->sa_family == AF_INET6) {
    const auto v6 = copy_of<sockaddr_in6>(from);
    to.ip = ip_of(v6.sin6_addr);
    to.port = ntohs(v6.sin6_port);
    to.scope_id = is_link_local(to.ip) ? v6.sin6_scope_id : 0;
  }
  return to;
}

void build_control(const noise::Endpoint& endpoint, std::uint8_t traffic_class,
                   std::uint16_t segment_bytes, SendControl& control) noexcept {
  ControlWriter writer(control);
  if (endpoint.remote.ip.family == noise::Family::v4) {
    build_v4_control(endpoint.source, traffic_class, writer);
  } else {
    build_v6_control(endpoint, traffic_class, writer);
  }
  if (segment_bytes != 0) {
    writer.append(IPPROTO_UDP, UDP_SEGMENT, segment_bytes);
  }
}

void prepare_receive(ReceiveFrame& frame, MutableBytes payload, msghdr& header) noexcept {
  frame.payload.iov_base = payload.data();
  frame.payload.iov_len = payload.size();
  header = {};
  header.msg_name = &frame.name;
  header.msg_namelen = sizeof frame.name;
  header.msg_iov = &frame.payload;
  header.msg_iovlen = 1;
  header.msg_control = frame.control.data();
  header.msg_controllen = frame.control.size();
}

Parsed parse_received(const msghdr& header, std::size_t bytes, noise::Wild& wild,
                      std::uint32_t& kernel_drops) noexcept {
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return Parsed::truncated;
  }
  wild.bytes = static_cast<std::uint32_t>(bytes);
  wild.stride_bytes = 0;
  wild.source = from_native(static_cast<const sockaddr*>(header.msg_name), header.msg_namelen);
  wild.destination = {};
  wild.ecn = 0;
  wild.to_many = false;
  // CMSG_NXTHDR takes the header as not const, but does not write to it.
  msghdr walk = header;
  for (cmsghdr* at = CMSG_FIRSTHDR(&walk); at != nullptr; at = CMSG_NXTHDR(&walk, at)) {
    if (at->cmsg_level == IPPROTO_IP) {
      parse_v4_control(*at, wild);
    } else if (at->cmsg_level == IPPROTO_IPV6) {
      parse_v6_control(*at, wild);
    } else if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SO_RXQ_OVFL) {
      static_cast<void>(read_control(*at, kernel_drops));
    } else if (at->cmsg_level == IPPROTO_UDP && at->cmsg_type == UDP_GRO) {
      parse_gro(*at, wild);
    }
  }
  return Parsed::ok;
}

}  // namespace wgring::tun

#include "daemon/uapi_format.hpp"

#include <array>

#include <arpa/inet.h>

#include "daemon/hex.hpp"

namespace wgring::daemon {
namespace {

void append_number_line(TextBuffer& text, std::string_view key, std::uint64_t number) noexcept {
  text.append(key);
  text.append_number(number);
  text.append("\n");
}

void append_key_line(TextBuffer& text, std::string_view name, BytesOf<32> key) noexcept {
  text.append(name);
  encode_key(key, text.append_space(key_digits).first<key_digits>());
  text.append("\n");
}

void append_ip(TextBuffer& text, const noise::IpAddress& ip) noexcept {
  std::array<char, INET6_ADDRSTRLEN> digits{};
  const int family = ip.family == noise::Family::v4 ? AF_INET : AF_INET6;
  WG_ASSERT(inet_ntop(family, ip.bytes.data(), digits.data(), digits.size()) != nullptr);
  text.append(digits.data());
}

void append_endpoint(TextBuffer& text, const noise::SocketAddress& remote) noexcept {
  const bool v6 = remote.ip.family == noise::Family::v6;
  text.append(v6 ? "endpoint=[" : "endpoint=");
  append_ip(text, remote.ip);
  if (remote.scope_id != 0) {
    text.append("%");
    text.append_number(remote.scope_id);
  }
  text.append(v6 ? "]:" : ":");
  text.append_number(remote.port);
  text.append("\n");
}

void append_handshake_time(TextBuffer& text, WallTime time) noexcept {
  constexpr std::int64_t per_second = 1'000'000'000;
  const std::int64_t nanoseconds = std::max<std::int64_t>(time.time_since_epoch().count(), 0);
  append_number_line(
      text, "last_handshake_time_sec=", static_cast<std::uint64_t>(nanoseconds / per_second));
  append_number_line(
      text, "last_handshake_time_nsec=", static_cast<std::uint64_t>(nanoseconds % per_second));
}

void append_peer(TextBuffer& text, const noise::PeerStatus& peer) noexcept {
  append_key_line(text, "public_key=", peer.public_key);
  append_key_line(text, "preshared_key=", peer.preshared_key.view());
  text.append("protocol_version=1\n");
  if (peer.endpoint.remote.is_set()) {
    append_endpoint(text, peer.endpoint.remote);
  }
  append_handshake_time(text, peer.last_handshake);
  append_number_line(text, "tx_bytes=", peer.tx_bytes);
  append_number_line(text, "rx_bytes=", peer.rx_bytes);
  append_number_line(text, "persistent_keepalive_interval=", peer.persistent_keepalive_s);
}

}  // namespace

void append_device(TextBuffer& text, const DeviceStatus& status) noexcept {
  if (!crypto::ct_is_zero(status.private_key.view())) {
    append_key_line(text, "private_key=", status.private_key.view());
  }
  if (status.listen_port != 0) {
    append_number_line(text, "listen_port=", status.listen_port);
  }
  if (status.fwmark != 0) {
    append_number_line(text, "fwmark=", status.fwmark);
  }
}

void append_page(TextBuffer& text, const PeerPage& page) noexcept {
  std::size_t next_prefix = 0;
  for (std::size_t i = 0; i < page.peer_count; ++i) {
    append_peer(text, page.peers[i]);
    const std::size_t end = next_prefix + page.peers[i].prefix_count;
    WG_ASSERT(end <= page.prefix_count);
    for (; next_prefix < end; ++next_prefix) {
      text.append("allowed_ip=");
      append_ip(text, page.prefixes[next_prefix].address);
      text.append("/");
      append_number_line(text, "", page.prefixes[next_prefix].cidr);
    }
  }
}

void append_errno(TextBuffer& text, int errno_value, ErrnoSign sign) noexcept {
  WG_ASSERT(errno_value >= 0);
  text.append(sign == ErrnoSign::negative && errno_value != 0 ? "errno=-" : "errno=");
  append_number_line(text, "", static_cast<std::uint64_t>(errno_value));
  text.append("\n");
}

std::size_t page_text_bytes_max(const PeerPage& page) noexcept {
  return page.peer_count * peer_text_bytes_max + page.prefix_count * prefix_text_bytes_max;
}

}  // namespace wgring::daemon

#include "daemon/uapi_values.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include <arpa/inet.h>

namespace wgring::daemon {
namespace {

using noise::Family;
using noise::IpAddress;

template <typename Number>
std::optional<Number> parse_number(std::string_view text) noexcept {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

// inet_pton wants a terminated string; what does not fit is no address.
std::optional<IpAddress> parse_ip(std::string_view text, Family family) noexcept {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.size() >= terminated.size() || text.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  std::copy(text.begin(), text.end(), terminated.begin());
  IpAddress address{.family = family};
  const int kernel_family = family == Family::v4 ? AF_INET : AF_INET6;
  if (inet_pton(kernel_family, terminated.data(), address.bytes.data()) != 1) {
    return std::nullopt;
  }
  return address;
}

IpAddress unmapped(const IpAddress& address) noexcept {
  constexpr ByteArray<12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (!equal_public(Bytes{address.bytes}.first(12), mapped_prefix)) {
    return address;
  }
  IpAddress v4{.family = Family::v4};
  copy_bytes(v4.bytes, Bytes{address.bytes}.subspan(12));
  return v4;
}

bool is_link_local(const IpAddress& address) noexcept {
  return address.family == Family::v6 && address.bytes[0] == 0xfe &&
         (address.bytes[1] & 0xc0U) == 0x80;
}

// Number or name to interface index; nullopt when there is no such interface.
std::optional<std::uint32_t> parse_scope(std::string_view text, ScopeResolver resolver) noexcept {
  if (const auto number = parse_number<std::uint32_t>(text)) {
    return number;
  }
  const std::uint32_t index = text.empty() ? 0 : resolver(text);
  return index == 0 ? std::nullopt : std::optional{index};
}

// The part between the brackets: v6 or v6%scope.
bool parse_v6_host(std::string_view host, ScopeResolver resolver,
                   noise::SocketAddress& to) noexcept {
  const std::size_t percent = host.find('%');
  const auto ip = parse_ip(host.substr(0, percent), Family::v6);
  if (!ip) {
    return false;
  }
  to.ip = unmapped(*ip);
  if (percent == std::string_view::npos) {
    return true;
  }
  const auto scope = parse_scope(host.substr(percent + 1), resolver);
  // A scope means nothing beyond link-local addresses; kept, it would make equal endpoints differ.
  to.scope_id = scope && is_link_local(*ip) ? *scope : 0;
  return scope.has_value();
}

}  // namespace

std::optional<std::uint16_t> parse_u16(std::string_view text) noexcept {
  return parse_number<std::uint16_t>(text);
}

std::optional<std::uint32_t> parse_u32(std::string_view text) noexcept {
  return parse_number<std::uint32_t>(text);
}

std::optional<noise::SocketAddress> parse_endpoint(std::string_view text,
                                                   ScopeResolver resolver) noexcept {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) {
    return std::nullopt;
  }
  const auto port = parse_u16(text.substr(colon + 1));
  const std::string_view host = text.substr(0, colon);
  if (!port) {
    return std::nullopt;
  }
  noise::SocketAddress address{.ip = {}, .port = *port};
  if (host.front() == '[') {
    const bool valid = host.back() == ']' && host.size() > 2 &&
                       parse_v6_host(host.substr(1, host.size() - 2), resolver, address);
    return valid ? std::optional{address} : std::nullopt;
  }
  const auto ip = parse_ip(host, Family::v4);
  if (!ip) {
    return std::nullopt;
  }
  address.ip = *ip;
  return address;
}

std::optional<noise::AllowedIpChange> parse_allowed_ip(std::string_view text) noexcept {
  noise::AllowedIpChange change;
  if (text.starts_with('-')) {
    change.kind = noise::AllowedIpChange::Kind::remove;
    text.remove_prefix(1);
  }
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view host = text.substr(0, slash);
  const Family family = host.find(':') == std::string_view::npos ? Family::v4 : Family::v6;
  const auto ip = parse_ip(host, family);
  const auto cidr = parse_number<std::uint8_t>(text.substr(slash + 1));
  if (!ip || !cidr || *cidr > (family == Family::v4 ? 32 : 128)) {
    return std::nullopt;
  }
  change.prefix = {.address = *ip, .cidr = *cidr};
  return change;
}

}  // namespace wgring::daemon

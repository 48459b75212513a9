#include "daemon/uapi_parser.hpp"

#include <algorithm>
#include <cerrno>
#include <span>

#include "daemon/hex.hpp"

namespace wgring::daemon {

struct UapiParser::KeyRule {
  std::string_view name;
  bool (UapiParser::*take)(std::string_view value);
  std::string_view expected;  // what is said when take() refuses
};

namespace {

constexpr std::string_view not_a_key = "the value is not 64 hex digits";
constexpr std::string_view not_true = "the only value is \"true\"";
constexpr std::string_view not_a_number = "the value is not a number in range";
constexpr std::string_view too_many = "the request is too large";

constexpr std::size_t key_name_bytes_max = 32;

bool is_true(std::string_view value) noexcept { return value == "true"; }

// A line that is not what it should be may hold a key in any place: only what looks like a name
// of this protocol is repeated in the log. "AbC...=" is base64, for one.
bool is_key_name(std::string_view text) noexcept {
  return text.size() <= key_name_bytes_max &&
         std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
}

}  // namespace

const UapiParser::KeyRule UapiParser::device_keys[] = {
    {"private_key", &UapiParser::on_private_key, not_a_key},
    {"listen_port", &UapiParser::on_listen_port, not_a_number},
    {"fwmark", &UapiParser::on_fwmark, not_a_number},
    {"replace_peers", &UapiParser::on_replace_peers, not_true},
    {"public_key", &UapiParser::on_public_key, not_a_key},
};

const UapiParser::KeyRule UapiParser::peer_keys[] = {
    {"public_key", &UapiParser::on_public_key, not_a_key},
    {"remove", &UapiParser::on_remove, not_true},
    {"update_only", &UapiParser::on_update_only, not_true},
    {"preshared_key", &UapiParser::on_preshared_key, not_a_key},
    {"endpoint", &UapiParser::on_endpoint, "the value is not address:port"},
    {"persistent_keepalive_interval", &UapiParser::on_persistent_keepalive, not_a_number},
    {"replace_allowed_ips", &UapiParser::on_replace_allowed_ips, not_true},
    {"allowed_ip", &UapiParser::on_allowed_ip, "the value is not address/cidr"},
    {"protocol_version", &UapiParser::on_protocol_version, "the only version is 1"},
};

UapiParser::Fed UapiParser::feed(std::string_view bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size()) {
    const std::string_view rest = bytes.substr(taken);
    const std::size_t end = rest.find('\n');
    const std::size_t line_bytes = end == std::string_view::npos ? rest.size() : end;
    taken += line_bytes + (end == std::string_view::npos ? 0 : 1);
    request_bytes_ += line_bytes + 1;
    if (partial_.size() + line_bytes > uapi_line_bytes_max) {
      line_number_ += 1;
      refuse(EPROTO, "a line is longer than 4096 bytes", key_of_long_line(rest));
      return {Progress::broken, taken};
    }
    if (request_bytes_ > uapi_request_bytes_max) {
      refuse(E2BIG, too_many, {});
      return {Progress::broken, taken};
    }
    if (end == std::string_view::npos) {
      keep_partial(rest);
      break;
    }
    std::string_view line = rest.substr(0, line_bytes);
    if (!partial_.empty()) {
      keep_partial(line);
      line = {partial_.data(), partial_.size()};
    }
    const Progress progress = take_line(line);
    wipe_partial();
    if (progress != Progress::more) {
      return {progress, taken};
    }
  }
  return {Progress::more, taken};
}

void UapiParser::reset() noexcept {
  wipe_partial();
  verb_ = Verb::none;
  refusal_ = {};
  request_.clear();
  request_bytes_ = 0;
  line_number_ = 0;
}

UapiParser::Progress UapiParser::take_line(std::string_view line) {
  line_number_ += 1;
  if (line.empty()) {
    if (line_number_ == 1) {
      refuse(EPROTO, "a request starts with get=1 or set=1", {});
    }
    return Progress::complete;
  }
  if (refusal() != nullptr) {
    return Progress::more;
  }
  if (line_number_ == 1) {
    take_verb(line);
    return Progress::more;
  }
  const std::size_t equals = line.find('=');
  if (equals == std::string_view::npos) {
    refuse(EPROTO, "a line has no '='", {});
  } else {
    take_pair(line.substr(0, equals), line.substr(equals + 1));
  }
  return Progress::more;
}

void UapiParser::take_verb(std::string_view line) {
  if (line == "get=1") {
    verb_ = Verb::get;
  } else if (line == "set=1") {
    verb_ = Verb::set;
  } else {
    const bool is_pair = line.find('=') != std::string_view::npos;
    refuse(is_pair ? EINVAL : EPROTO, "a request starts with get=1 or set=1", {});
  }
}

void UapiParser::take_pair(std::string_view key, std::string_view value) {
  if (verb_ == Verb::get) {
    refuse(EINVAL, "get=1 takes no keys", key);
    return;
  }
  const std::span<const KeyRule> rules =
      request_.peers.empty() ? std::span<const KeyRule>{device_keys} : peer_keys;
  const auto rule = std::ranges::find(rules, key, &KeyRule::name);
  if (rule == rules.end()) {
    refuse(EINVAL,
           request_.peers.empty() ? "no such key of a device, or no public_key before it"
                                  : "no such key of a peer",
           key);
    return;
  }
  if (!(this->*rule->take)(value)) {
    refuse(EINVAL, rule->expected, key);
  }
}

// The first refusal counts; what was taken before it will not be used and need not be kept.
void UapiParser::refuse(int errno_value, std::string_view what, std::string_view key) {
  if (refusal() != nullptr) {
    return;
  }
  request_ = {};
  refusal_ = {.errno_value = errno_value,
              .what = what,
              .key = is_key_name(key) ? std::string(key) : std::string(),
              .line = line_number_};
}

// Of a line that is not kept: its first piece may be, and ends before its '='.
std::string_view UapiParser::key_of_long_line(std::string_view rest) {
  if (partial_.size() <= key_name_bytes_max) {
    keep_partial(rest.substr(0, key_name_bytes_max + 1));
  }
  const std::string_view line{partial_.data(), partial_.size()};
  const std::size_t equals = line.find('=');
  return equals == std::string_view::npos ? std::string_view{} : line.substr(0, equals);
}

void UapiParser::keep_partial(std::string_view bytes) {
  // Whole at once: a vector that grows would leave an unwiped copy of a key behind.
  partial_.reserve(uapi_line_bytes_max);
  partial_.insert(partial_.end(), bytes.begin(), bytes.end());
}

void UapiParser::wipe_partial() noexcept {
  crypto::wipe({reinterpret_cast<std::uint8_t*>(partial_.data()),  // NOLINT: chars as bytes
                partial_.size()});
  partial_.clear();
}

bool UapiParser::on_private_key(std::string_view value) {
  crypto::Secret<32> key;
  const bool valid = decode_key(value, key.fill());
  request_.private_key = std::move(key);
  return valid;
}

bool UapiParser::on_listen_port(std::string_view value) {
  request_.listen_port = parse_u16(value);
  return request_.listen_port.has_value();
}

bool UapiParser::on_fwmark(std::string_view value) {
  request_.fwmark = parse_u32(value);
  return request_.fwmark.has_value();
}

bool UapiParser::on_replace_peers(std::string_view value) {
  request_.replace_peers = true;
  return is_true(value);
}

bool UapiParser::on_public_key(std::string_view value) {
  if (request_.peers.size() >= uapi_sections_max) {
    refuse(E2BIG, too_many, "public_key");
    return true;
  }
  PeerSection& section = request_.peers.emplace_back();
  section.first_prefix = static_cast<std::uint32_t>(request_.prefixes.size());
  return decode_key(value, section.public_key);
}

bool UapiParser::on_remove(std::string_view value) {
  request_.peers.back().remove = true;
  return is_true(value);
}

bool UapiParser::on_update_only(std::string_view value) {
  request_.peers.back().update_only = true;
  return is_true(value);
}

bool UapiParser::on_preshared_key(std::string_view value) {
  request_.peers.back().preshared_key = static_cast<std::uint32_t>(request_.preshared_keys.size());
  return decode_key(value, request_.preshared_keys.emplace_back().fill());
}

bool UapiParser::on_endpoint(std::string_view value) {
  std::optional<noise::SocketAddress>& endpoint = request_.peers.back().endpoint;
  endpoint = parse_endpoint(value, resolver_);
  return endpoint.has_value();
}

bool UapiParser::on_persistent_keepalive(std::string_view value) {
  std::optional<std::uint16_t>& seconds = request_.peers.back().persistent_keepalive_s;
  seconds = parse_u16(value);
  return seconds.has_value();
}

bool UapiParser::on_replace_allowed_ips(std::string_view value) {
  return is_true(value) &&
         add_prefix_change({.kind = noise::AllowedIpChange::Kind::remove_all, .prefix = {}});
}

bool UapiParser::on_allowed_ip(std::string_view value) {
  const auto change = parse_allowed_ip(value);
  return change && add_prefix_change(*change);
}

bool UapiParser::on_protocol_version(std::string_view value) { return value == "1"; }

bool UapiParser::add_prefix_change(const noise::AllowedIpChange& change) {
  if (request_.prefixes.size() >= uapi_prefixes_max) {
    refuse(E2BIG, too_many, "allowed_ip");
    return true;
  }
  request_.prefixes.push_back(change);
  request_.peers.back().prefix_count += 1;
  return true;
}

}  // namespace wgring::daemon

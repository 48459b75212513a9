// The text configuration protocol's receiving half: bytes in pieces of any size to one request.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/set_request.hpp"
#include "daemon/uapi_values.hpp"

namespace wgring::daemon {

// The longest legal line is far below it; a longer one can only be an attack or a mistake.
inline constexpr std::size_t uapi_line_bytes_max = 4096;
// 2^20 peers with preshared key, endpoint and one prefix each take about 240 MB of text.
inline constexpr std::uint64_t uapi_request_bytes_max = std::uint64_t{256} << 20;
inline constexpr std::size_t uapi_sections_max = std::size_t{1} << 20;
inline constexpr std::size_t uapi_prefixes_max = std::size_t{1} << 22;

enum class Verb : std::uint8_t { none, get, set };

// The first thing that was wrong with a request. It never holds a value: that may be a key.
struct Refusal {
  int errno_value = 0;    // positive
  std::string_view what;  // static text
  std::string key;        // as given, when it looks like a key's name
  std::uint64_t line = 0;
};

// Owner: one session. Pure: no system call but through the resolver. A request that is refused is
// read to its end, the blank line, so that the next one on the connection is understood.
class UapiParser {
 public:
  enum class Progress : std::uint8_t {
    more,      // all bytes taken, the request goes on
    complete,  // verb(), and refusal() or take_set(); then reset()
    broken,    // refusal(); the end of the request cannot be found any more: close
  };
  struct Fed {
    Progress progress;
    std::size_t taken_bytes;
  };

  explicit UapiParser(ScopeResolver resolver) : resolver_(resolver) {}
  UapiParser(const UapiParser&) = delete;
  UapiParser& operator=(const UapiParser&) = delete;
  ~UapiParser() { reset(); }

  // Takes bytes up to the end of one request at most. Not after complete or broken.
  [[nodiscard]] Fed feed(std::string_view bytes);
  void reset() noexcept;

  // True before the first byte of a request.
  [[nodiscard]] bool idle() const noexcept { return request_bytes_ == 0; }
  [[nodiscard]] Verb verb() const noexcept { return verb_; }
  // nullptr: nothing was wrong.
  [[nodiscard]] const Refusal* refusal() const noexcept {
    return refusal_.errno_value == 0 ? nullptr : &refusal_;
  }
  [[nodiscard]] SetRequest take_set() { return std::move(request_); }

 private:
  struct KeyRule;
  static const KeyRule device_keys[];
  static const KeyRule peer_keys[];

  [[nodiscard]] Progress take_line(std::string_view line);
  void take_verb(std::string_view line);
  void take_pair(std::string_view key, std::string_view value);
  void refuse(int errno_value, std::string_view what, std::string_view key);
  [[nodiscard]] std::string_view key_of_long_line(std::string_view rest);
  void keep_partial(std::string_view bytes);
  void wipe_partial() noexcept;

  // One per key; false: the value is not acceptable.
  bool on_private_key(std::string_view value);
  bool on_listen_port(std::string_view value);
  bool on_fwmark(std::string_view value);
  bool on_replace_peers(std::string_view value);
  bool on_public_key(std::string_view value);
  bool on_remove(std::string_view value);
  bool on_update_only(std::string_view value);
  bool on_preshared_key(std::string_view value);
  bool on_endpoint(std::string_view value);
  bool on_persistent_keepalive(std::string_view value);
  bool on_replace_allowed_ips(std::string_view value);
  bool on_allowed_ip(std::string_view value);
  bool on_protocol_version(std::string_view value);
  bool add_prefix_change(const noise::AllowedIpChange& change);

  ScopeResolver resolver_;
  Verb verb_ = Verb::none;
  Refusal refusal_;
  SetRequest request_;
  std::uint64_t request_bytes_ = 0;
  std::uint64_t line_number_ = 0;
  std::vector<char> partial_;  // a line whose end has not come yet; reserved whole, never moves
};

}  // namespace wgring::daemon

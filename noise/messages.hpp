// The four messages as bytes on the wire (protocol section 3). All integers little-endian.
//
// clang-format off
// initiation, 148: type 1 | sender_index 4 | ephemeral 32 | AEAD(static) 48 | AEAD(time) 28 | macs
// response,    92: type 2 | sender_index 4 | receiver_index 4 | ephemeral 32 | AEAD("") 16 | macs
// cookie,      64: type 3 | receiver_index 4 | nonce 24 | XAEAD(cookie) 32
// data,     >= 32: type 4 | receiver_index 4 | counter 8 | AEAD(padded inner packet)
// where macs is mac1 16 | mac2 16
// clang-format on
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.hpp"

namespace wgring::noise {

enum class MessageType : std::uint8_t {
  malformed = 0,
  initiation = 1,
  response = 2,
  cookie_reply = 3,
  data = 4,
};

inline constexpr std::size_t mac_field_bytes = 16;
inline constexpr std::size_t macs_bytes = 2 * mac_field_bytes;

struct InitiationLayout {
  static constexpr std::size_t sender_index = 4;
  static constexpr std::size_t ephemeral = 8;
  static constexpr std::size_t sealed_static = 40;
  static constexpr std::size_t sealed_timestamp = 88;
  static constexpr std::size_t mac1 = 116;
  static constexpr std::size_t mac2 = 132;
  static constexpr std::size_t size = 148;
};

struct ResponseLayout {
  static constexpr std::size_t sender_index = 4;
  static constexpr std::size_t receiver_index = 8;
  static constexpr std::size_t ephemeral = 12;
  static constexpr std::size_t sealed_empty = 44;
  static constexpr std::size_t mac1 = 60;
  static constexpr std::size_t mac2 = 76;
  static constexpr std::size_t size = 92;
};

struct CookieReplyLayout {
  static constexpr std::size_t receiver_index = 4;
  static constexpr std::size_t nonce = 8;
  static constexpr std::size_t sealed_cookie = 32;
  static constexpr std::size_t size = 64;
};

struct DataLayout {
  static constexpr std::size_t receiver_index = 4;
  static constexpr std::size_t counter = 8;
  static constexpr std::size_t sealed = 16;
  static constexpr std::size_t header_bytes = 16;
  static constexpr std::size_t overhead_bytes = 32;  // header and tag
  static constexpr std::size_t size_min = 32;        // a keepalive
};

// The type of a whole UDP payload by its first word and exact length; `malformed` for all else.
// The three reserved bytes must be zero.
[[nodiscard]] inline MessageType classify(Bytes datagram) noexcept {
  if (datagram.size() < DataLayout::size_min) {
    return MessageType::malformed;
  }
  switch (load_le32(datagram.data())) {
    case 1:
      return datagram.size() == InitiationLayout::size ? MessageType::initiation
                                                       : MessageType::malformed;
    case 2:
      return datagram.size() == ResponseLayout::size ? MessageType::response
                                                     : MessageType::malformed;
    case 3:
      return datagram.size() == CookieReplyLayout::size ? MessageType::cookie_reply
                                                        : MessageType::malformed;
    case 4:
      return MessageType::data;
    default:
      return MessageType::malformed;
  }
}

// Ours, by which the other end names a handshake or a keypair; nothing: this type has none.
// `datagram` is classified as `type`.
[[nodiscard]] inline std::optional<std::uint32_t> receiver_index_of(MessageType type,
                                                                    Bytes datagram) noexcept {
  switch (type) {
    case MessageType::response:
      return load_le32(datagram.data() + ResponseLayout::receiver_index);
    case MessageType::cookie_reply:
      return load_le32(datagram.data() + CookieReplyLayout::receiver_index);
    case MessageType::data:
      return load_le32(datagram.data() + DataLayout::receiver_index);
    case MessageType::initiation:
    case MessageType::malformed:
      break;
  }
  return std::nullopt;
}

}  // namespace wgring::noise

// One datagram between hosts, as anybody on the path sees it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.hpp"
#include "base/time.hpp"
#include "noise/endpoint.hpp"
#include "noise/messages.hpp"

namespace wgring::sim {

struct Datagram {
  std::uint64_t number = 0;  // in order of sending, over the whole world
  Instant at{};              // when it was sent
  std::size_t from_host = 0;
  noise::SocketAddress from;
  noise::SocketAddress to;
  noise::LocalSource sticky;       // what the sender asked for
  std::uint8_t traffic_class = 0;  // of the outer header
  bool genuine = true;             // as a host sent it: not corrupted, injected or replayed
  bool lost = false;               // in the log: the link or the filter took it
  std::vector<std::uint8_t> bytes;

  [[nodiscard]] noise::MessageType type() const noexcept { return noise::classify(bytes); }
  [[nodiscard]] bool is_data() const noexcept { return type() == noise::MessageType::data; }
  [[nodiscard]] bool is_keepalive() const noexcept {
    return is_data() && bytes.size() == noise::DataLayout::size_min;
  }
  // Of initiation and response.
  [[nodiscard]] std::uint32_t sender_index() const noexcept { return load_le32(bytes.data() + 4); }
  // Of the three others: a response has it behind its own index.
  [[nodiscard]] std::uint32_t receiver_index() const noexcept {
    return load_le32(bytes.data() + (type() == noise::MessageType::response ? 8 : 4));
  }
  [[nodiscard]] std::uint64_t counter() const noexcept { return load_le64(bytes.data() + 8); }
  // I, R, C, D, K (keepalive) or ? for the eye.
  [[nodiscard]] char letter() const noexcept {
    switch (type()) {
      case noise::MessageType::initiation:
        return 'I';
      case noise::MessageType::response:
        return 'R';
      case noise::MessageType::cookie_reply:
        return 'C';
      case noise::MessageType::data:
        return is_keepalive() ? 'K' : 'D';
      case noise::MessageType::malformed:
        break;
    }
    return '?';
  }
};

}  // namespace wgring::sim

// What the targets of cookies have in common: where messages come from, and models of a source's
// rate and of the secret's age (protocol sections 6 and 7).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/time.hpp"
#include "noise/endpoint.hpp"

namespace wgring::fuzz {

// The same address with two ports, a neighbour of it, and of IPv6 two of one /64 and one of
// another.
inline constexpr std::size_t sources = 6;
inline noise::SocketAddress source_at(std::size_t number) noexcept {
  if (number < 3) {
    noise::SocketAddress v4{.ip = {.family = noise::Family::v4, .bytes = {203, 0, 113, 1}},
                            .port = 4000};
    v4.ip.bytes[3] = number == 2 ? 2 : 1;
    v4.port = number == 1 ? 4001 : 4000;
    return v4;
  }
  noise::SocketAddress v6{.ip = {.family = noise::Family::v6, .bytes = {0x20, 0x01, 0x0d, 0xb8}},
                          .port = 4000};
  v6.ip.bytes[7] = number == 5 ? 1 : 0;
  v6.ip.bytes[15] = number == 4 ? 1 : 0;
  return v6;
}
// Of the rate: an address, or a /64.
inline constexpr std::size_t networks = 4;
inline std::size_t network_of(std::size_t source) noexcept {
  constexpr std::array<std::size_t, sources> numbers{0, 0, 1, 2, 2, 3};
  return numbers[source];
}

// Five at once, twenty per second.
class Rate {
 public:
  [[nodiscard]] bool take(Instant now) {
    credit_ = std::min<Duration>(std::chrono::milliseconds{250}, credit_ + (now - last_));
    last_ = now;
    const bool enough = credit_ >= cost;
    credit_ -= enough ? cost : Duration{0};
    return enough;
  }

 private:
  static constexpr Duration cost = std::chrono::milliseconds{50};
  Duration credit_ = std::chrono::milliseconds{250};
  Instant last_ = Instant{};
};

// The secret's age, from its first use on.
class Secret {
 public:
  // Its number, from one on.
  [[nodiscard]] int use(Instant now) {
    if (number_ == 0 || now - born_ >= std::chrono::seconds{120}) {
      number_ += 1;
      born_ = now;
    }
    return number_;
  }

 private:
  int number_ = 0;
  Instant born_{};
};

}  // namespace wgring::fuzz

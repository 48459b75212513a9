// Seeded chance: the same seed gives the same world, on every machine.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "base/bytes.hpp"
#include "base/time.hpp"
#include "noise/entropy.hpp"

namespace wgring::sim {

// SplitMix64: small, and good enough to shake a simulation.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}
  // While there are any of `choices`, a loan, each number is two bytes of them.
  Random(std::uint64_t seed, Bytes choices) noexcept : state_(seed), choices_(choices) {}

  std::uint64_t next() noexcept {
    if (choices_.size() >= 2) {
      const std::uint64_t chosen = load_be16(choices_.data());
      choices_ = choices_.subspan(2);
      return chosen;
    }
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  // Uniform enough in [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound) noexcept { return next() % bound; }
  // Both ends included.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) noexcept {
    return low + below(high - low + 1);
  }
  Duration between(Duration low, Duration high) noexcept {
    return low + Duration{static_cast<Duration::rep>(
                     below(static_cast<std::uint64_t>((high - low).count()) + 1))};
  }
  bool chance(std::uint64_t per_mille) noexcept { return below(1000) < per_mille; }
  void fill(MutableBytes out) noexcept {
    for (std::uint8_t& byte : out) {
      byte = static_cast<std::uint8_t>(next());
    }
  }

 private:
  std::uint64_t state_;
  Bytes choices_;
};

// What a Device takes for the system's randomness.
class SeededEntropy {
 public:
  explicit SeededEntropy(std::uint64_t seed) noexcept : random_(seed) {}

  // A loan of this object.
  [[nodiscard]] noise::Entropy entropy() noexcept {
    return {.context = this, .fill = [](void* context, MutableBytes out) noexcept {
              auto* const self = static_cast<SeededEntropy*>(context);
              self->draws += 1;
              if (self->failing) {
                return false;
              }
              if (out.size() == sizeof(std::uint32_t) && self->next_word) {
                store_le32(out.data(), *std::exchange(self->next_word, std::nullopt));
              } else {
                self->random_.fill(out);
              }
              if (self->on_draw) {
                self->on_draw(out);
              }
              return true;
            }};
  }

  std::uint64_t draws = 0;
  bool failing = false;
  std::optional<std::uint32_t> next_word;  // what the next draw of four bytes, an index, brings
  std::function<void(Bytes)> on_draw;      // sees what each draw brought

 private:
  Random random_;
};

}  // namespace wgring::sim

// Inlet: where the other shards of an interface leave things for one, and how they wake it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "base/result.hpp"
#include "noise/shard_of.hpp"
#include "tun/hand_over.hpp"
#include "tun/wake.hpp"

namespace wgring::tun {

inline constexpr std::uint32_t shards_max = std::uint32_t{1} << noise::shard_bits_max;

// Owner: what outlives all shards. Thread: begin_sleep(), end_sleep() and taking are the owning
// shard's; from(i) and rouse() are shard i's; wake() is anyone's.
class Inlet {
 public:
  // Of shard `self` of `count`; with one there is nobody to take from.
  [[nodiscard]] Status open(std::uint32_t self, std::uint32_t count) noexcept;

  [[nodiscard]] HandOver& from(std::uint32_t shard) noexcept { return *rings_[shard]; }
  // After publish().
  void rouse() noexcept {
    // In one order with begin_sleep() and publish(): either the sleeper sees what was published, or
    // this sees the sleeper.
    if (sleeps_.load(std::memory_order_seq_cst)) {
      wake_.wake();
    }
  }

  [[nodiscard]] int wake_fd() const noexcept { return wake_.fd(); }
  void wake() const noexcept { wake_.wake(); }
  void clear_wake() const noexcept { wake_.clear(); }

  // False: there is something to take.
  [[nodiscard]] bool begin_sleep() noexcept;
  void end_sleep() noexcept;
  template <typename Visit>
  void for_each(Visit&& visit) noexcept {
    for (std::uint32_t shard = 0; shard < count_; ++shard) {
      if (rings_[shard] != nullptr) {
        visit(*rings_[shard]);
      }
    }
  }

 private:
  Wake wake_;
  std::uint32_t count_ = 0;
  std::array<std::unique_ptr<HandOver>, shards_max> rings_;
  alignas(64) std::atomic<bool> sleeps_{false};
};

}  // namespace wgring::tun

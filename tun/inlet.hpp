// Inlet: where the other shards of an interface, and its door, leave things for one shard, and how
// they wake it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "base/result.hpp"
#include "base/time.hpp"
#include "noise/shard_of.hpp"
#include "tun/hand_over.hpp"
#include "tun/wake.hpp"

namespace wgring::tun {

inline constexpr std::uint32_t shards_max = std::uint32_t{1} << noise::shard_bits_max;

// Owner: what outlives all shards and the door. Thread: begin_sleep(), end_sleep() and taking are
// the owning shard's; from(i) and rouse() are giver i's; wake() is anyone's.
class Inlet {
 public:
  // Of shard `self`, one of `givers`: the shards and, behind them, the door.
  [[nodiscard]] Status open(std::uint32_t self, std::uint32_t givers) noexcept;

  [[nodiscard]] HandOver& from(std::uint32_t giver) noexcept { return *rings_[giver]; }
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
  // Of the owning shard: so many handshakes wait that it is load (protocol 6). For the door.
  void set_crowded(bool crowded) noexcept {
    if (crowded_.load(std::memory_order_relaxed) != crowded) {
      crowded_.store(crowded, std::memory_order_relaxed);
    }
  }
  [[nodiscard]] bool crowded() const noexcept { return crowded_.load(std::memory_order_relaxed); }

  // Of the owning shard: authentic data moved, and until then the door is behind it.
  void set_data_until(Instant until) noexcept {
    if (data_until() != until) {
      data_until_.store(until, std::memory_order_relaxed);
    }
  }
  [[nodiscard]] Instant data_until() const noexcept {
    return data_until_.load(std::memory_order_relaxed);
  }

  // visit(ring, giver)
  template <typename Visit>
  void for_each(Visit&& visit) noexcept {
    for (std::uint32_t giver = 0; giver < givers_; ++giver) {
      if (rings_[giver] != nullptr) {
        visit(*rings_[giver], giver);
      }
    }
  }

 private:
  Wake wake_;
  std::uint32_t givers_ = 0;
  std::array<std::unique_ptr<HandOver>, shards_max + 1> rings_;
  alignas(64) std::atomic<bool> sleeps_{false};
  std::atomic<bool> crowded_{false};
  std::atomic<Instant> data_until_{Instant::min()};
};

}  // namespace wgring::tun

// SpscRing<T, N>: a bounded queue from one thread to one other.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

namespace wgring::tun {

// Thread: one calls push(), one calls pop(). Neither ever waits.
template <typename T, std::size_t Capacity>
class SpscRing {
  static_assert((Capacity & (Capacity - 1)) == 0);

 public:
  // False: full, nothing was stored.
  [[nodiscard]] bool push(const T& value) noexcept {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);  // ours
    // Pairs with the release in pop(): the place is read before it is written again.
    if (tail - head_.load(std::memory_order_acquire) == Capacity) {
      return false;
    }
    items_[tail & (Capacity - 1)] = value;
    // Pairs with the acquire in pop(): the item is there before it is counted.
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }
  [[nodiscard]] bool pop(T& value) noexcept {
    const std::size_t head = head_.load(std::memory_order_relaxed);  // ours
    if (tail_.load(std::memory_order_acquire) == head) {
      return false;
    }
    value = items_[head & (Capacity - 1)];
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

 private:
  // The ends stand on lines of their own: the threads do not disturb each other.
  alignas(64) std::atomic<std::size_t> head_{0};
  alignas(64) std::atomic<std::size_t> tail_{0};
  alignas(64) std::array<T, Capacity> items_{};
};

}  // namespace wgring::tun

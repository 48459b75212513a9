// SlotPool: equal buffers on memory the caller gives; Slot: the move-only handle of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/bytes.hpp"

namespace wgring {

class SlotPool;

// Owner of a slot's bytes is exactly one of: the pool, an operation in flight, the core, a local.
// The destructor returns the slot to its pool. Thread: the pool's.
class Slot {
 public:
  Slot() noexcept = default;
  Slot(Slot&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), id_(std::exchange(other.id_, 0)) {}
  Slot& operator=(Slot&& other) noexcept;
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  ~Slot() { reset(); }

  [[nodiscard]] explicit operator bool() const noexcept { return pool_ != nullptr; }
  // All bytes of the slot; a loan that ends with the handle.
  [[nodiscard]] MutableBytes bytes() const noexcept;
  [[nodiscard]] std::uint8_t* data() const noexcept { return bytes().data(); }
  // The same, and the pool's headroom in front of them.
  [[nodiscard]] MutableBytes with_headroom() const noexcept;
  [[nodiscard]] SlotPool* pool() const noexcept { return pool_; }
  // Gives up the handle for a queue that keeps (pool, id) by itself; the pool's adopt() undoes it.
  [[nodiscard]] std::uint32_t release() noexcept {
    WG_ASSERT(pool_ != nullptr);
    pool_ = nullptr;
    return std::exchange(id_, 0);
  }
  void reset() noexcept;

 private:
  friend class SlotPool;
  Slot(SlotPool* pool, std::uint32_t id) noexcept : pool_(pool), id_(id) {}
  SlotPool* pool_ = nullptr;
  std::uint32_t id_ = 0;
};

// Thread: one. Order: last returned, first taken (its bytes are still in the cache).
// Lifetime: outlives every Slot of it; the destructor asserts that all are home.
class SlotPool {
 public:
  // `memory` holds slot_count * (headroom_bytes + slot_bytes), `free_list` slot_count numbers;
  // both are loans for the pool's life. The headroom lies in front of each slot.
  SlotPool(MutableBytes memory, std::span<std::uint32_t> free_list, std::size_t slot_bytes,
           std::size_t headroom_bytes = 0) noexcept
      : memory_(memory),
        free_list_(free_list),
        slot_bytes_(slot_bytes),
        headroom_bytes_(headroom_bytes) {
    WG_ASSERT(slot_bytes_ > 0 && memory_.size() / stride_bytes() >= free_list_.size());
    for (std::size_t i = 0; i < free_list_.size(); ++i) {
      free_list_[i] = static_cast<std::uint32_t>(free_list_.size() - 1 - i);
    }
    free_count_ = free_list_.size();
  }
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;
  ~SlotPool() { WG_ASSERT(free_count_ == free_list_.size()); }

  // An empty handle when the pool is exhausted: the caller counts a drop.
  [[nodiscard]] Slot take() noexcept {
    if (free_count_ == 0) {
      return {};
    }
    free_count_ -= 1;
    return Slot{this, free_list_[free_count_]};
  }
  // The handle of an id that Slot::release() gave.
  [[nodiscard]] Slot adopt(std::uint32_t id) noexcept {
    WG_ASSERT(id < free_list_.size());
    return Slot{this, id};
  }
  [[nodiscard]] MutableBytes bytes_of(std::uint32_t id) const noexcept {
    return with_headroom_of(id).subspan(headroom_bytes_);
  }
  [[nodiscard]] MutableBytes with_headroom_of(std::uint32_t id) const noexcept {
    return memory_.subspan(std::size_t{id} * stride_bytes(), stride_bytes());
  }
  [[nodiscard]] std::size_t available() const noexcept { return free_count_; }
  [[nodiscard]] std::size_t slot_count() const noexcept { return free_list_.size(); }
  [[nodiscard]] std::size_t slot_bytes() const noexcept { return slot_bytes_; }
  [[nodiscard]] MutableBytes memory() const noexcept { return memory_; }

 private:
  friend class Slot;
  [[nodiscard]] std::size_t stride_bytes() const noexcept { return headroom_bytes_ + slot_bytes_; }
  void put_back(std::uint32_t id) noexcept {
    WG_ASSERT(free_count_ < free_list_.size());
    WG_VERIFY([&] {
      for (std::size_t i = 0; i < free_count_; ++i) {
        if (free_list_[i] == id) {
          return false;
        }
      }
      return true;
    }());
    free_list_[free_count_] = id;
    free_count_ += 1;
  }

  MutableBytes memory_;
  std::span<std::uint32_t> free_list_;
  std::size_t slot_bytes_;
  std::size_t headroom_bytes_;
  std::size_t free_count_ = 0;
};

inline Slot& Slot::operator=(Slot&& other) noexcept {
  if (this != &other) {
    reset();
    pool_ = std::exchange(other.pool_, nullptr);
    id_ = std::exchange(other.id_, 0);
  }
  return *this;
}
inline MutableBytes Slot::bytes() const noexcept {
  WG_ASSERT(pool_ != nullptr);
  return pool_->bytes_of(id_);
}
inline MutableBytes Slot::with_headroom() const noexcept {
  WG_ASSERT(pool_ != nullptr);
  return pool_->with_headroom_of(id_);
}
inline void Slot::reset() noexcept {
  if (pool_ != nullptr) {
    std::exchange(pool_, nullptr)->put_back(id_);
    id_ = 0;
  }
}

}  // namespace wgring

// Slab<T>: numbered objects that never move, on a Region; ids are handed out and taken back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "base/region.hpp"

namespace wgring {

// Owner: one thread. An id is free or taken; a taken one holds a live T. Growth happens in
// ensure_free() only, so take() on a path that must not fail is preceded by it.
template <typename T>
class Slab {
 public:
  static constexpr std::uint32_t none = 0xffff'ffffU;

  Slab() noexcept = default;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab() {
    for (std::uint32_t id = 0; id < high_; ++id) {
      if (cell(id)->taken) {
        cell(id)->value.~T();
      }
    }
  }

  [[nodiscard]] bool reserve(const MemorySource& source, std::uint32_t count_max) noexcept {
    count_max_ = count_max;
    return region_.reserve(source, sizeof(Cell) * std::size_t{count_max});
  }

  // Makes room so that the next `count` take() calls succeed.
  [[nodiscard]] bool ensure_free(std::uint32_t count) noexcept {
    const std::uint32_t unused = high_ - used_;  // ids on the free list
    const std::uint32_t fresh = count > unused ? count - unused : 0;
    if (fresh > count_max_ - high_) {
      return false;
    }
    return region_.ensure(sizeof(Cell) * (std::size_t{high_} + fresh));
  }

  // A new T, or `none` when the limit or memory is reached.
  template <typename... Arguments>
  [[nodiscard]] std::uint32_t take(Arguments&&... arguments) noexcept {
    if (!ensure_free(1)) {
      return none;
    }
    std::uint32_t id = free_head_;
    if (id != none) {
      free_head_ = cell(id)->next_free;
    } else {
      id = high_++;
    }
    Cell* const at = cell(id);
    ::new (static_cast<void*>(&at->value)) T(std::forward<Arguments>(arguments)...);
    at->taken = true;
    used_ += 1;
    return id;
  }

  // Destroys the T; `id` may be handed out again.
  void give_back(std::uint32_t id) noexcept {
    Cell* const at = cell(id);
    WG_ASSERT(id < high_ && at->taken);
    at->value.~T();
    at->taken = false;
    at->next_free = free_head_;
    free_head_ = id;
    used_ -= 1;
  }

  [[nodiscard]] bool is_taken(std::uint32_t id) const noexcept {
    return id < high_ && cell(id)->taken;
  }
  [[nodiscard]] T& operator[](std::uint32_t id) const noexcept {
    WG_ASSERT(is_taken(id));
    return cell(id)->value;
  }
  [[nodiscard]] std::uint32_t used() const noexcept { return used_; }

 private:
  struct Cell {
    union {
      T value;
    };
    std::uint32_t next_free;
    bool taken;
    Cell() = delete;
    ~Cell() = delete;
  };

  [[nodiscard]] Cell* cell(std::uint32_t id) const noexcept {
    return reinterpret_cast<Cell*>(region_.data()) + id;  // NOLINT: a region is raw memory
  }

  Region region_;
  std::uint32_t count_max_ = 0;
  std::uint32_t high_ = 0;  // ids below this have been handed out at least once
  std::uint32_t used_ = 0;
  std::uint32_t free_head_ = none;
};

}  // namespace wgring

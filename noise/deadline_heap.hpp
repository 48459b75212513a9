// DeadlineHeap: at most one deadline per id, the earliest in O(1), a change in O(log n).
#pragma once

#include <cstdint>

#include "base/region.hpp"
#include "base/time.hpp"

namespace wgring::noise {

// Owner: one thread. Equal deadlines come out by ascending id, so the order never depends on
// history. Growth happens in ensure() only.
class DeadlineHeap {
 public:
  [[nodiscard]] bool open(const MemorySource& source, std::uint32_t ids_max) noexcept;
  // After true, ids below `ids` may be used.
  [[nodiscard]] bool ensure(std::uint32_t ids) noexcept;

  // Inserts or moves; `never` removes.
  void set(std::uint32_t id, Instant at) noexcept;
  // Absent is fine.
  void remove(std::uint32_t id) noexcept;

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  // Of the earliest; not when empty.
  [[nodiscard]] std::uint32_t top_id() const noexcept {
    WG_ASSERT(size_ > 0);
    return items()[0].id;
  }
  [[nodiscard]] Instant top_at() const noexcept {
    WG_ASSERT(size_ > 0);
    return items()[0].at;
  }
  // `never` when absent.
  [[nodiscard]] Instant at(std::uint32_t id) const noexcept;

 private:
  struct Item {
    Instant at;
    std::uint32_t id;
  };

  [[nodiscard]] static bool before(const Item& a, const Item& b) noexcept {
    return a.at != b.at ? a.at < b.at : a.id < b.id;
  }
  [[nodiscard]] Item* items() const noexcept;
  [[nodiscard]] std::uint32_t* positions() const noexcept;
  void place(std::uint32_t position, const Item& item) noexcept;
  void sift_up(std::uint32_t position, const Item& item) noexcept;
  void sift_down(std::uint32_t position, const Item& item) noexcept;
  void settle(std::uint32_t position, const Item& item) noexcept;

  Region items_;
  Region positions_;  // by id: position in items_ + 1; 0: absent
  std::uint32_t ids_max_ = 0;
  std::uint32_t ids_ = 0;
  std::uint32_t size_ = 0;
};

}  // namespace wgring::noise

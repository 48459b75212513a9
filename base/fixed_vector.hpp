// FixedVector<T, N>: up to N elements in place, never allocates.
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include "base/assert.hpp"

namespace wgring {

template <typename T, std::size_t Capacity>
class FixedVector {
 public:
  static constexpr std::size_t capacity = Capacity;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t room() const noexcept { return Capacity - size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  T& push_back(T value) noexcept {
    WG_ASSERT(size_ < Capacity);
    T& at = items_[size_++];
    at = std::move(value);
    return at;
  }
  // Elements go back to T{}: handles held by them are given up now, not later.
  void clear() noexcept {
    for (std::size_t i = 0; i < size_; ++i) {
      items_[i] = T{};
    }
    size_ = 0;
  }

  [[nodiscard]] T& operator[](std::size_t i) noexcept {
    WG_ASSERT(i < size_);
    return items_[i];
  }
  [[nodiscard]] const T& operator[](std::size_t i) const noexcept {
    WG_ASSERT(i < size_);
    return items_[i];
  }
  [[nodiscard]] T& back() noexcept { return (*this)[size_ - 1]; }
  [[nodiscard]] T* begin() noexcept { return items_.data(); }
  [[nodiscard]] T* end() noexcept { return items_.data() + size_; }
  [[nodiscard]] const T* begin() const noexcept { return items_.data(); }
  [[nodiscard]] const T* end() const noexcept { return items_.data() + size_; }

 private:
  // Not filled here: elements that are not there yet are nobody's. Handles start empty by
  // themselves; plain numbers are written by push_back() before anyone reads them.
  std::array<T, Capacity> items_;
  std::size_t size_ = 0;
};

}  // namespace wgring

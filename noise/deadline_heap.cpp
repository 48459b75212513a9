#include "noise/deadline_heap.hpp"

namespace wgring::noise {

bool DeadlineHeap::open(const MemorySource& source, std::uint32_t ids_max) noexcept {
  ids_max_ = ids_max;
  return items_.reserve(source, sizeof(Item) * std::size_t{ids_max}) &&
         positions_.reserve(source, sizeof(std::uint32_t) * std::size_t{ids_max});
}

bool DeadlineHeap::ensure(std::uint32_t ids) noexcept {
  if (ids <= ids_) {
    return true;
  }
  if (ids > ids_max_ || !items_.ensure(sizeof(Item) * std::size_t{ids}) ||
      !positions_.ensure(sizeof(std::uint32_t) * std::size_t{ids})) {
    return false;
  }
  ids_ = ids;
  return true;
}

void DeadlineHeap::set(std::uint32_t id, Instant at) noexcept {
  if (at == never) {
    remove(id);
    return;
  }
  WG_ASSERT(id < ids_);
  const std::uint32_t position = positions()[id];
  const Item item{.at = at, .id = id};
  if (position == 0) {
    sift_up(size_++, item);
  } else {
    settle(position - 1, item);
  }
}

void DeadlineHeap::remove(std::uint32_t id) noexcept {
  if (id >= ids_ || positions()[id] == 0) {
    return;
  }
  const std::uint32_t hole = positions()[id] - 1;
  positions()[id] = 0;
  size_ -= 1;
  if (hole != size_) {
    settle(hole, items()[size_]);
  }
}

Instant DeadlineHeap::at(std::uint32_t id) const noexcept {
  if (id >= ids_ || positions()[id] == 0) {
    return never;
  }
  return items()[positions()[id] - 1].at;
}

// Regions are raw memory; all-zero bytes are valid objects of ours.
DeadlineHeap::Item* DeadlineHeap::items() const noexcept {
  return reinterpret_cast<Item*>(items_.data());
}
std::uint32_t* DeadlineHeap::positions() const noexcept {
  return reinterpret_cast<std::uint32_t*>(positions_.data());
}

void DeadlineHeap::place(std::uint32_t position, const Item& item) noexcept {
  items()[position] = item;
  positions()[item.id] = position + 1;
}

// Both sifts carry `item`, which is not among the first size_, from a hole at `position` to where
// it belongs.
void DeadlineHeap::sift_up(std::uint32_t position, const Item& item) noexcept {
  while (position > 0) {
    const std::uint32_t parent = (position - 1) / 2;
    if (!before(item, items()[parent])) {
      break;
    }
    place(position, items()[parent]);
    position = parent;
  }
  place(position, item);
}

void DeadlineHeap::sift_down(std::uint32_t position, const Item& item) noexcept {
  while (position < size_ / 2) {
    std::uint32_t child = 2 * position + 1;
    if (child + 1 < size_ && before(items()[child + 1], items()[child])) {
      child += 1;
    }
    if (!before(items()[child], item)) {
      break;
    }
    place(position, items()[child]);
    position = child;
  }
  place(position, item);
}

void DeadlineHeap::settle(std::uint32_t position, const Item& item) noexcept {
  if (position > 0 && before(item, items()[(position - 1) / 2])) {
    sift_up(position, item);
  } else {
    sift_down(position, item);
  }
}

}  // namespace wgring::noise

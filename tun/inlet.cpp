#include "tun/inlet.hpp"

#include <new>

#include <errno.h>

namespace wgring::tun {

Status Inlet::open(std::uint32_t self, std::uint32_t count) noexcept {
  WG_ASSERT(self < count && count <= shards_max);
  if (const Status status = wake_.open(); !status) {
    return status;
  }
  count_ = count;
  for (std::uint32_t shard = 0; shard < count; ++shard) {
    if (shard == self) {
      continue;
    }
    rings_[shard].reset(new (std::nothrow) HandOver);
    if (rings_[shard] == nullptr) {
      return fail(ENOMEM, "out of memory for a ring between two shards");
    }
    if (const Status status = rings_[shard]->open(); !status) {
      return status;
    }
  }
  return {};
}

bool Inlet::begin_sleep() noexcept {
  if (count_ <= 1) {
    return true;
  }
  sleeps_.store(true, std::memory_order_seq_cst);
  bool empty = true;
  for_each([&](const HandOver& ring) { empty = empty && ring.empty(); });
  if (!empty) {
    end_sleep();
  }
  return empty;
}

void Inlet::end_sleep() noexcept {
  if (count_ > 1) {
    sleeps_.store(false, std::memory_order_relaxed);
  }
}

}  // namespace wgring::tun

#include "tun/inlet.hpp"

#include <new>

#include <errno.h>

namespace wgring::tun {

Status Inlet::open(std::uint32_t self, std::uint32_t givers) noexcept {
  WG_ASSERT(self < givers && givers <= rings_.size());
  if (const Status status = wake_.open(); !status) {
    return status;
  }
  givers_ = givers;
  for (std::uint32_t giver = 0; giver < givers; ++giver) {
    if (giver == self) {
      continue;
    }
    rings_[giver].reset(new (std::nothrow) HandOver);
    if (rings_[giver] == nullptr) {
      return fail(ENOMEM, "out of memory for a ring between two threads");
    }
    if (const Status status = rings_[giver]->open(); !status) {
      return status;
    }
  }
  return {};
}

bool Inlet::begin_sleep() noexcept {
  sleeps_.store(true, std::memory_order_seq_cst);
  bool empty = true;
  for_each([&](const HandOver& ring, std::uint32_t) { empty = empty && ring.empty(); });
  if (!empty) {
    end_sleep();
  }
  return empty;
}

void Inlet::end_sleep() noexcept { sleeps_.store(false, std::memory_order_relaxed); }

}  // namespace wgring::tun

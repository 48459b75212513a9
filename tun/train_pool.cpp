#include "tun/train_pool.hpp"

#include <errno.h>
#include <sys/mman.h>

namespace wgring::tun {
namespace {

constexpr std::size_t train_memory_bytes = train_count * (train_headroom_bytes + train_slot_bytes);
constexpr std::size_t packet_memory_bytes = packet_count * packet_slot_bytes;
constexpr std::size_t memory_bytes = train_memory_bytes + packet_memory_bytes;

}  // namespace

Status TrainPools::open() noexcept {
  WG_ASSERT(memory_ == nullptr);
  void* const at = ::mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    return fail(errno, "mmap: packet buffers of 20 MiB; out of memory");
  }
  // Packets of users: out of core dumps, and not copied into children.
  static_cast<void>(::madvise(at, memory_bytes, MADV_DONTDUMP));
  static_cast<void>(::madvise(at, memory_bytes, MADV_DONTFORK));
  memory_ = static_cast<std::uint8_t*>(at);
  trains_.emplace(MutableBytes{memory_, train_memory_bytes}, train_list_, train_slot_bytes,
                  train_headroom_bytes);
  packets_.emplace(MutableBytes{memory_ + train_memory_bytes, packet_memory_bytes}, packet_list_,
                   packet_slot_bytes);
  return {};
}

TrainPools::~TrainPools() {
  trains_.reset();
  packets_.reset();
  if (memory_ != nullptr) {
    WG_ASSERT(::munmap(memory_, memory_bytes) == 0);
  }
}

}  // namespace wgring::tun

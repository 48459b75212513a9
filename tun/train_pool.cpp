#include "tun/train_pool.hpp"

namespace wgring::tun {
namespace {

constexpr std::size_t train_memory_bytes = train_count * (train_headroom_bytes + train_slot_bytes);
constexpr std::size_t packet_memory_bytes = packet_count * packet_slot_bytes;
constexpr std::size_t memory_bytes = train_memory_bytes + packet_memory_bytes;

}  // namespace

Status TrainPools::open() noexcept {
  if (const Status opened =
          memory_.open(memory_bytes, "mmap: packet buffers of 20 MiB; out of memory");
      !opened) {
    return opened;
  }
  trains_.emplace(MutableBytes{memory_.data(), train_memory_bytes}, train_list_, train_slot_bytes,
                  train_headroom_bytes);
  packets_.emplace(MutableBytes{memory_.data() + train_memory_bytes, packet_memory_bytes},
                   packet_list_, packet_slot_bytes);
  return {};
}

}  // namespace wgring::tun

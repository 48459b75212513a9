#include "tun/shards.hpp"

#include <bit>

namespace wgring::tun {

Shards::Shards(std::size_t count)
    : shard_bits_(static_cast<std::uint32_t>(std::countr_zero(count))), inlets_(count) {}

Result<std::unique_ptr<Shards>> Shards::start(const ShardSetup& setup,
                                              std::span<const int> queues) {
  WG_ASSERT(std::has_single_bit(queues.size()) && queues.size() <= shards_max);
  std::unique_ptr<Shards> shards(new Shards(queues.size()));
  const auto count = static_cast<std::uint32_t>(queues.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    if (const Status opened = shards->inlets_[i].open(i, count); !opened) {
      return std::unexpected(opened.error());
    }
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    ShardSetup each = setup;
    each.tun_fd = queues[i];
    each.place = {.shard = i, .shard_bits = shards->shard_bits_, .inlets = shards->inlets_};
    if (i > 0) {
      each.prefixes = {};
    }
    Result<std::unique_ptr<Shard>> started = Shard::start(each);
    if (!started) {
      return std::unexpected(started.error());
    }
    shards->shards_.push_back(std::move(*started));
  }
  return shards;
}

}  // namespace wgring::tun

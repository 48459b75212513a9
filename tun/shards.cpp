#include "tun/shards.hpp"

#include <bit>

#include <errno.h>

namespace wgring::tun {

Shards::Shards(std::size_t count, noise::IndexMark mark)
    : shard_bits_(static_cast<std::uint32_t>(std::countr_zero(count))),
      mark_(mark),
      inlets_(count) {}

Result<std::unique_ptr<Shards>> Shards::start(const ShardSetup& setup,
                                              std::span<const int> queues) {
  WG_ASSERT(std::has_single_bit(queues.size()) && queues.size() <= shards_max);
  const std::optional<noise::IndexMark> mark = noise::IndexMark::draw(setup.entropy);
  if (!mark) {
    return fail(EIO, "no system randomness for the receiver indices");
  }
  std::unique_ptr<Shards> shards(new Shards(queues.size(), *mark));
  const auto count = static_cast<std::uint32_t>(queues.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    if (const Status opened = shards->inlets_[i].open(i, count + 1); !opened) {
      return std::unexpected(opened.error());
    }
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    ShardSetup each = setup;
    each.tun_fd = queues[i];
    if (i > 0) {
      each.prefixes = {};
    }
    Result<std::unique_ptr<Shard>> started = Shard::start(
        each,
        {.shard = i, .shard_bits = shards->shard_bits_, .mark = *mark, .inlets = shards->inlets_});
    if (!started) {
      return std::unexpected(started.error());
    }
    shards->shards_.push_back(std::move(*started));
  }
  Result<std::unique_ptr<Door>> door = Door::start(
      {.memory = setup.memory, .entropy = setup.entropy, .mark = *mark, .inlets = shards->inlets_});
  if (!door) {
    return std::unexpected(door.error());
  }
  shards->door_ = std::move(*door);
  return shards;
}

ShardStats Shards::stats(std::uint32_t shard) noexcept {
  if (shard == 0) {
    door_->settle();  // the sums agree: what was let in is counted where it went
  }
  ShardStats stats = shards_[shard]->stats();
  if (shard == 0) {
    door_->add_stats(stats);
  }
  return stats;
}

}  // namespace wgring::tun

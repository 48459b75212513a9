#include "tun/shards.hpp"

namespace wgring::tun {

Shards::Shards(std::uint32_t shard_bits)
    : shard_bits_(shard_bits), inlets_(std::size_t{1} << shard_bits) {}

Result<std::unique_ptr<Shards>> Shards::start(const ShardSetup& setup, const TunDevice& device,
                                              std::uint32_t shard_bits) {
  std::unique_ptr<Shards> shards(new Shards(shard_bits));
  const auto count = static_cast<std::uint32_t>(shards->inlets_.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    if (const Status opened = shards->inlets_[i].open(i, count); !opened) {
      return std::unexpected(opened.error());
    }
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    ShardSetup each = setup;
    each.tun_fd = device.queue(i);
    each.place = {.shard = i, .shard_bits = shard_bits, .inlets = shards->inlets_};
    Result<std::unique_ptr<Shard>> started = Shard::start(each);
    if (!started) {
      return std::unexpected(started.error());
    }
    shards->shards_.push_back(std::move(*started));
  }
  return shards;
}

}  // namespace wgring::tun

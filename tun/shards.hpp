// Shards: all shards of an interface, and the door. Each shard has a queue of its TUN, a pair of
// its UDP sockets and a share of its peers; what is for a peer of another is handed over
// (docs/adr/0009). Whom the door lets in goes to the first.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "tun/door.hpp"
#include "tun/inlet.hpp"
#include "tun/shard.hpp"

namespace wgring::tun {

// Owner: the control thread. All shards are configured alike: what is done to the Device of one is
// done to that of each, in the same order, so that they agree on serials and ids.
class Shards {
 public:
  // One for each queue of the TUN, a power of two of them; `setup` is that of each, but for its
  // queue and its place, and the first alone tells of prefixes. May throw std::bad_alloc.
  [[nodiscard]] static Result<std::unique_ptr<Shards>> start(const ShardSetup& setup,
                                                             std::span<const int> queues);

  [[nodiscard]] std::uint32_t count() const noexcept {
    return static_cast<std::uint32_t>(shards_.size());
  }
  [[nodiscard]] std::uint32_t shard_bits() const noexcept { return shard_bits_; }
  // Of the receiver indices of all.
  [[nodiscard]] noise::IndexMark mark() const noexcept { return mark_; }
  [[nodiscard]] Shard& operator[](std::uint32_t shard) noexcept { return *shards_[shard]; }
  [[nodiscard]] Door& door() noexcept { return *door_; }
  // Of one; what the door did counts as the first's.
  [[nodiscard]] ShardStats stats(std::uint32_t shard) noexcept;
  // On the thread of each, one after the other.
  template <typename Task>
  void call_each(Task&& task) {
    for (const std::unique_ptr<Shard>& shard : shards_) {
      shard->call(task);
    }
  }

 private:
  Shards(std::size_t count, noise::IndexMark mark);

  std::uint32_t shard_bits_;
  noise::IndexMark mark_;
  std::vector<Inlet> inlets_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::unique_ptr<Door> door_;
};

}  // namespace wgring::tun

#include "noise/index_table.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace wgring::noise {
namespace {

constexpr std::uint32_t capacity_min = 64;
// A quarter of all that bear the mark, so that many misses in a row mean a broken source. (With
// several shards, where a quarter of the peers of all live on one, less is left.)
constexpr std::uint32_t entries_limit = std::uint32_t{1} << (30 - IndexMark::bits);
constexpr int draws_max = 64;

[[nodiscard]] std::uint32_t tagged_of(IndexRef ref) noexcept {
  WG_ASSERT(ref.id < (std::uint32_t{1} << 30));
  return ((ref.id << 1U) | static_cast<std::uint32_t>(ref.kind)) + 1;
}

[[nodiscard]] IndexRef ref_of(std::uint32_t tagged) noexcept {
  const std::uint32_t packed = tagged - 1;
  return {.kind = static_cast<IndexKind>(packed & 1U), .id = packed >> 1U};
}

}  // namespace

bool IndexTable::open(const MemorySource& source, std::uint32_t entries_max) noexcept {
  WG_ASSERT(entries_max <= entries_limit);
  source_ = source;
  entries_max_ = entries_max;
  return true;
}

bool IndexTable::ensure(std::uint32_t total_entries) noexcept {
  if (total_entries > entries_max_) {
    return false;
  }
  const std::uint32_t wanted = std::max(capacity_min, std::bit_ceil(total_entries * 2));
  if (wanted <= capacity_) {
    return true;
  }
  const std::size_t bytes = sizeof(Entry) * std::size_t{wanted};
  Region grown;
  if (!grown.reserve(source_, bytes) || !grown.ensure(bytes)) {
    return false;
  }
  std::swap(region_, grown);
  const std::uint32_t former_capacity = std::exchange(capacity_, wanted);
  const auto* const former = reinterpret_cast<const Entry*>(grown.data());
  for (std::uint32_t i = 0; i < former_capacity; ++i) {
    if (former[i].tagged != 0) {
      probe(former[i].index) = former[i];
    }
  }
  return true;
}

std::optional<std::uint32_t> IndexTable::insert(const Entropy& entropy, IndexRef ref,
                                                std::uint32_t shard,
                                                std::uint32_t shard_bits) noexcept {
  WG_ASSERT(shard_bits < 32 && shard < (std::uint32_t{1} << shard_bits));
  if (size_ >= capacity_ / 2) {
    return std::nullopt;
  }
  const std::uint32_t shard_mask = (std::uint32_t{1} << shard_bits) - 1;
  for (int draw = 0; draw < draws_max; ++draw) {
    ByteArray<4> random{};
    if (!entropy(random)) {
      return std::nullopt;
    }
    const std::uint32_t index = mark_.put_on((load_le32(random.data()) & ~shard_mask) | shard);
    Entry& entry = probe(index);
    if (entry.tagged == 0) {
      entry = {.index = index, .tagged = tagged_of(ref)};
      size_ += 1;
      return index;
    }
  }
  return std::nullopt;
}

std::optional<IndexRef> IndexTable::find(std::uint32_t index) const noexcept {
  if (size_ == 0) {
    return std::nullopt;
  }
  const Entry& entry = probe(index);
  if (entry.tagged == 0) {
    return std::nullopt;
  }
  return ref_of(entry.tagged);
}

void IndexTable::replace(std::uint32_t index, IndexRef ref) noexcept {
  WG_ASSERT(size_ > 0);
  Entry& entry = probe(index);
  WG_ASSERT(entry.tagged != 0);
  entry.tagged = tagged_of(ref);
}

void IndexTable::remove(std::uint32_t index) noexcept {
  WG_ASSERT(size_ > 0);
  Entry& gone = probe(index);
  WG_ASSERT(gone.tagged != 0);
  const std::uint32_t mask = capacity_ - 1;
  // Backward shift: each later entry of the cluster that may stand in the hole moves there, so
  // that no probe ends early and no tombstones pile up.
  auto hole = static_cast<std::uint32_t>(&gone - entries());
  for (std::uint32_t at = (hole + 1) & mask; entries()[at].tagged != 0; at = (at + 1) & mask) {
    const std::uint32_t distance = (at - home(entries()[at].index)) & mask;
    if (distance >= ((at - hole) & mask)) {
      entries()[hole] = entries()[at];
      hole = at;
    }
  }
  entries()[hole] = {.index = 0, .tagged = 0};
  size_ -= 1;
}

IndexTable::Entry* IndexTable::entries() const noexcept {
  return reinterpret_cast<Entry*>(region_.data());
}

std::uint32_t IndexTable::home(std::uint32_t index) const noexcept {
  return index >> (32 - std::countr_zero(capacity_));
}

// The entry of `index`, or the empty one where it would stand. The table is never full.
IndexTable::Entry& IndexTable::probe(std::uint32_t index) const noexcept {
  const std::uint32_t mask = capacity_ - 1;
  std::uint32_t at = home(index);
  while (entries()[at].tagged != 0 && entries()[at].index != index) {
    at = (at + 1) & mask;
  }
  return entries()[at];
}

}  // namespace wgring::noise

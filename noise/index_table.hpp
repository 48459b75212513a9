// IndexTable: receiver index on the wire -> handshake or keypair (protocol section 8).
#pragma once

#include <cstdint>
#include <optional>

#include "base/region.hpp"
#include "noise/entropy.hpp"
#include "noise/index_mark.hpp"

namespace wgring::noise {

enum class IndexKind : std::uint8_t { handshake, keypair };

// `id` is a peer id for a handshake and a keypair id for a keypair; below 2^30.
struct IndexRef {
  IndexKind kind = IndexKind::handshake;
  std::uint32_t id = 0;
  friend bool operator==(const IndexRef&, const IndexRef&) = default;
};

// Open addressing with linear probing, at most half full. Indices are random and ours, nobody
// else chooses them, so their own high bits are the hash: the mark, and what is below it. The low
// bits name the shard. Each that bears the mark is a valid index, 0 as well.
// Owner: one thread. Growth happens in ensure() only.
class IndexTable {
 public:
  explicit IndexTable(IndexMark mark) noexcept : mark_(mark) {}
  [[nodiscard]] bool open(const MemorySource& source, std::uint32_t entries_max) noexcept;
  // Makes room for `total_entries` in all; rehashes when it grows. False: nothing changed.
  [[nodiscard]] bool ensure(std::uint32_t total_entries) noexcept;

  // Draws an unused index whose low `shard_bits` are `shard`, with the mark. nullopt: the random
  // source failed (or repeats itself), or the table is full.
  [[nodiscard]] std::optional<std::uint32_t> insert(const Entropy& entropy, IndexRef ref,
                                                    std::uint32_t shard,
                                                    std::uint32_t shard_bits) noexcept;
  [[nodiscard]] std::optional<IndexRef> find(std::uint32_t index) const noexcept;
  // The index must be present: a handshake's becomes its keypair's.
  void replace(std::uint32_t index, IndexRef ref) noexcept;
  // The index must be present.
  void remove(std::uint32_t index) noexcept;
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

 private:
  // All-zero memory is an empty table: `tagged` is 0 for an empty entry, else made of the ref.
  struct Entry {
    std::uint32_t index;
    std::uint32_t tagged;
  };

  [[nodiscard]] Entry* entries() const noexcept;
  [[nodiscard]] std::uint32_t home(std::uint32_t index) const noexcept;
  [[nodiscard]] Entry& probe(std::uint32_t index) const noexcept;

  IndexMark mark_;
  MemorySource source_{};
  Region region_;
  std::uint32_t entries_max_ = 0;
  std::uint32_t capacity_ = 0;  // a power of two, or 0 before the first ensure()
  std::uint32_t size_ = 0;
};

}  // namespace wgring::noise

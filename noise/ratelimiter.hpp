// RateLimiter: handshakes per proven source address, 20 per second, 5 at once (protocol
// section 7). Asked only under load, after a valid mac2.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/region.hpp"
#include "base/time.hpp"
#include "noise/endpoint.hpp"
#include "noise/entropy.hpp"

namespace wgring::noise {

// Owner: one thread. `now` never goes back. All memory is committed by open(), touched as needed.
// Sources stand in a keyed hash table and in one list by last use, so the idle ones are found
// without a walk over the table.
class RateLimiter {
 public:
  static constexpr std::uint32_t sources_max = 65'536;

  // False: no memory or no entropy.
  [[nodiscard]] bool open(const MemorySource& source, const Entropy& entropy) noexcept;
  // False: over the rate, or a new address while sources_max are in use. A v6 source is its /64.
  [[nodiscard]] bool allow(const IpAddress& address, Instant now) noexcept;
  // Drops sources idle for more than a second, some per call, at most one full round a second.
  void collect(Instant now) noexcept;
  [[nodiscard]] std::size_t entries() const noexcept { return used_; }

 private:
  using SourceId = std::uint32_t;
  static constexpr SourceId none = 0;  // so that all-zero memory is an empty table

  struct Key {
    std::uint64_t prefix;  // v4 address or upper half of the v6 one
    Family family;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Source {
    Key key;
    Instant last;
    Duration tokens;
    SourceId chain;  // next of the bucket, or next free
    SourceId older;
    SourceId newer;
  };

  [[nodiscard]] Source& source(SourceId id) const noexcept;
  [[nodiscard]] SourceId& bucket(const Key& key) const noexcept;
  [[nodiscard]] SourceId find(const Key& key) const noexcept;
  [[nodiscard]] bool is_idle(SourceId id, Instant now) const noexcept;
  void insert(const Key& key, Instant now) noexcept;
  void erase(SourceId id) noexcept;
  void link_newest(SourceId id) noexcept;
  void unlink(SourceId id) noexcept;

  Region sources_;
  Region buckets_;
  ByteArray<16> hash_key_{};
  std::uint32_t used_ = 0;
  SourceId high_ = 1;  // ids from here on were never used
  SourceId free_head_ = none;
  SourceId oldest_ = none;
  SourceId newest_ = none;
  Instant next_collect_ = Instant::min();
};

}  // namespace wgring::noise

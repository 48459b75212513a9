#include "noise/ratelimiter.hpp"

#include <algorithm>

#include "crypto/siphash.hpp"
#include "noise/constants.hpp"

namespace wgring::noise {
namespace {

constexpr Duration packet_cost = Duration{1s} / 20;
constexpr Duration tokens_max = packet_cost * 5;
constexpr Duration idle_max = 1s;
constexpr Duration collect_period = 1s;
constexpr std::uint32_t collect_batch = 1024;
constexpr std::uint32_t bucket_count = 32'768;

// A source is forgotten only when its bucket would be full again: forgetting changes no answer.
static_assert(idle_max >= tokens_max);

}  // namespace

bool RateLimiter::open(const MemorySource& memory, const Entropy& entropy) noexcept {
  constexpr std::size_t source_bytes = sizeof(Source) * (std::size_t{sources_max} + 1);
  constexpr std::size_t bucket_bytes = sizeof(SourceId) * std::size_t{bucket_count};
  return entropy(hash_key_) && sources_.reserve(memory, source_bytes) &&
         sources_.ensure(source_bytes) && buckets_.reserve(memory, bucket_bytes) &&
         buckets_.ensure(bucket_bytes);
}

bool RateLimiter::allow(const IpAddress& address, Instant now) noexcept {
  const bool is_v4 = address.family == Family::v4;
  const Key key{.prefix = is_v4 ? load_be32(address.bytes.data()) : load_be64(address.bytes.data()),
                .family = address.family};
  const SourceId id = find(key);
  if (id == none) {
    if (used_ == sources_max && is_idle(oldest_, now)) {
      erase(oldest_);
    }
    if (used_ == sources_max) {
      return false;
    }
    insert(key, now);
    return true;
  }
  Source& known = source(id);
  // The refill is kept even when the packet is refused.
  known.tokens = std::min(tokens_max, known.tokens + std::min(tokens_max, now - known.last));
  known.last = now;
  unlink(id);
  link_newest(id);
  if (known.tokens < packet_cost) {
    return false;
  }
  known.tokens -= packet_cost;
  return true;
}

void RateLimiter::collect(Instant now) noexcept {
  if (now < next_collect_) {
    return;
  }
  for (std::uint32_t i = 0; i < collect_batch; ++i) {
    if (oldest_ == none || !is_idle(oldest_, now)) {
      next_collect_ = now + collect_period;
      return;
    }
    erase(oldest_);
  }
}

// Regions are raw memory; all-zero bytes are valid objects of ours.
RateLimiter::Source& RateLimiter::source(SourceId id) const noexcept {
  return reinterpret_cast<Source*>(sources_.data())[id];
}

RateLimiter::SourceId& RateLimiter::bucket(const Key& key) const noexcept {
  ByteArray<8> bytes{};
  store_le64(bytes.data(), key.prefix);
  const std::uint64_t hash = crypto::siphash(hash_key_, bytes);
  return reinterpret_cast<SourceId*>(buckets_.data())[hash % bucket_count];
}

RateLimiter::SourceId RateLimiter::find(const Key& key) const noexcept {
  SourceId id = bucket(key);
  while (id != none && source(id).key != key) {
    id = source(id).chain;
  }
  return id;
}

bool RateLimiter::is_idle(SourceId id, Instant now) const noexcept {
  return now - source(id).last > idle_max;
}

// The first packet passes and is paid for.
void RateLimiter::insert(const Key& key, Instant now) noexcept {
  SourceId id = free_head_;
  if (id != none) {
    free_head_ = source(id).chain;
  } else {
    id = high_++;
  }
  SourceId& head = bucket(key);
  source(id) = {.key = key,
                .last = now,
                .tokens = tokens_max - packet_cost,
                .chain = head,
                .older = none,
                .newer = none};
  head = id;
  link_newest(id);
  used_ += 1;
}

void RateLimiter::erase(SourceId id) noexcept {
  unlink(id);
  SourceId* link = &bucket(source(id).key);
  while (*link != id) {
    link = &source(*link).chain;
  }
  *link = source(id).chain;
  source(id).chain = free_head_;
  free_head_ = id;
  used_ -= 1;
}

void RateLimiter::link_newest(SourceId id) noexcept {
  source(id).older = newest_;
  source(id).newer = none;
  (newest_ == none ? oldest_ : source(newest_).newer) = id;
  newest_ = id;
}

void RateLimiter::unlink(SourceId id) noexcept {
  const Source& leaving = source(id);
  (leaving.older == none ? oldest_ : source(leaving.older).newer) = leaving.newer;
  (leaving.newer == none ? newest_ : source(leaving.newer).older) = leaving.older;
}

}  // namespace wgring::noise

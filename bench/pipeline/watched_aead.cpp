#include "bench/pipeline/watched_aead.hpp"

#include <algorithm>

namespace wgring::bench {
namespace {

using Clock = std::chrono::steady_clock;
WatchedAead* current = nullptr;

ByteArray<32> copy_of(BytesOf<32> key) noexcept {
  ByteArray<32> copy{};
  copy_bytes(copy, key);
  return copy;
}

}  // namespace

WatchedAead::WatchedAead(const crypto::Aead& inner)
    : inner_(inner), watching_{.name = inner.name, .seal = &seal, .open = &open} {
  WG_ASSERT(current == nullptr);
  current = this;
}

WatchedAead::~WatchedAead() { current = nullptr; }

void WatchedAead::seal(BytesOf<32> key, std::span<const crypto::SealSegment> train) noexcept {
  if (current->recording_) {
    current->calls_.push_back(
        {.key = copy_of(key), .seals = {train.begin(), train.end()}, .opens = {}});
  }
  const Clock::time_point before = Clock::now();
  current->inner_.seal(key, train);
  current->taken_ += Clock::now() - before;
}

void WatchedAead::open(BytesOf<32> key, std::span<crypto::OpenSegment> train) noexcept {
  if (current->recording_) {
    current->calls_.push_back(
        {.key = copy_of(key), .seals = {}, .opens = {train.begin(), train.end()}});
  }
  const Clock::time_point before = Clock::now();
  current->inner_.open(key, train);
  current->taken_ += Clock::now() - before;
}

void WatchedAead::replay() {
  for (Call& call : calls_) {
    if (!call.seals.empty()) {
      inner_.seal(call.key, call.seals);
    } else {
      inner_.open(call.key, call.opens);
    }
  }
  WG_ASSERT(std::ranges::all_of(calls_, [](const Call& call) {
    return std::ranges::all_of(call.opens, &crypto::OpenSegment::opened);
  }));
}

}  // namespace wgring::bench

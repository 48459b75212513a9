#include "noise/replay.hpp"

#include <algorithm>

namespace wgring::noise {

// An accepted position plus the window still fits 64 bits, so the age test cannot wrap.
static_assert(reject_after_messages + replay_window > replay_window);

bool ReplayWindow::accept(std::uint64_t counter) noexcept {
  if (counter >= reject_after_messages) {
    return false;
  }
  const std::uint64_t position = counter + 1;
  if (position + replay_window < top_) {
    return false;
  }
  const std::uint64_t word = position / replay_word_bits;
  if (position > top_) {
    const std::uint64_t current = top_ / replay_word_bits;
    const std::uint64_t stale = std::min(word - current, word_count);
    for (std::uint64_t i = 1; i <= stale; ++i) {
      words_[(current + i) % word_count] = 0;
    }
    top_ = position;
  }
  const std::uint64_t bit = std::uint64_t{1} << (position % replay_word_bits);
  std::uint64_t& seen = words_[word % word_count];
  if ((seen & bit) != 0) {
    return false;
  }
  seen |= bit;
  return true;
}

}  // namespace wgring::noise

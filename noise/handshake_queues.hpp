// HandshakeQueues: those that we have reason to expect do not wait behind strangers.
#pragma once

#include "noise/handshake_queue.hpp"
#include "noise/known_sources.hpp"

namespace wgring::noise {

// Answers, and initiations that came here from where authentic peers are, come before all other
// initiations, but for every fourth time: a flood of either leaves the other alone. In each of the
// two the order is that of arrival. Owner: Core.
class HandshakeQueues {
 public:
  // False: no memory or no entropy.
  [[nodiscard]] bool open(const MemorySource& memory, const Entropy& entropy) noexcept {
    return expected_.open(memory) && strangers_.open(memory) && known_.open(memory, entropy);
  }
  // An authentic peer is there, or is configured to be.
  void know(const SocketAddress& source) noexcept { known_.note(source); }

  [[nodiscard]] bool knows(const SocketAddress& source) const noexcept {
    return known_.knows(source);
  }

  // False: too many wait, and it is lost.
  [[nodiscard]] bool push(bool expected, Bytes message, const SocketAddress& source,
                          const LocalSource& destination) noexcept {
    return (expected ? expected_ : strangers_).push(message, source, destination);
  }
  // Let in elsewhere: at the door, or by another shard.
  [[nodiscard]] bool push_admitted(Bytes message, const SocketAddress& source,
                                   const LocalSource& destination) noexcept {
    return strangers_.push(message, source, destination, true);
  }

  [[nodiscard]] const QueuedHandshake& front() const noexcept {
    return is_turn_of_strangers() ? strangers_.front() : expected_.front();
  }
  void pop() noexcept {
    (is_turn_of_strangers() ? strangers_ : expected_).pop();
    served_ += 1;
  }
  void clear() noexcept {
    expected_.clear();
    strangers_.clear();
  }
  [[nodiscard]] bool empty() const noexcept { return expected_.empty() && strangers_.empty(); }
  [[nodiscard]] std::size_t count() const noexcept {
    return expected_.count() + strangers_.count();
  }
  // Protocol 6, of either.
  [[nodiscard]] bool under_load(Instant now) noexcept {
    const bool by_expected = expected_.under_load(now);
    return strangers_.under_load(now) || by_expected;
  }

 private:
  [[nodiscard]] bool is_turn_of_strangers() const noexcept {
    return expected_.empty() || (served_ % 4 == 3 && !strangers_.empty());
  }

  std::uint32_t served_ = 0;
  HandshakeQueue expected_;
  HandshakeQueue strangers_;
  KnownSources known_;
};

}  // namespace wgring::noise

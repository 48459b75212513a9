// HandshakeQueues: those that we have reason to expect do not wait behind strangers.
#pragma once

#include <array>

#include "base/bytes.hpp"
#include "noise/handshake_queue.hpp"
#include "noise/known_sources.hpp"

namespace wgring::noise {

// Answers, and initiations that came here from where authentic peers are, come before all other
// initiations, but for every fourth time: a flood of either leaves the other alone. In each of the
// two the order is that of arrival. Of those that are expected few of one sender wait, and
// initiations take half of the places at most: a peer that floods us, from wherever it says it is,
// leaves room for the answers of others. Owner: Core.
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

  // False: too many wait, or too many of this sender, and it is lost.
  [[nodiscard]] bool push(bool expected, Bytes message, const SocketAddress& source,
                          const LocalSource& destination) noexcept {
    if (!expected) {
      return strangers_.push(message, source, destination);
    }
    std::uint8_t& waiting = waiting_of(message, source);
    const bool is_half_full = expected_.count() >= incoming_handshakes_max / 2;
    if (waiting == waiting_max || (is_half_full && classify(message) == MessageType::initiation) ||
        !expected_.push(message, source, destination)) {
      return false;
    }
    waiting += 1;
    return true;
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
    if (is_turn_of_strangers()) {
      strangers_.pop();
    } else {
      waiting_of(expected_.front().view(), expected_.front().source) -= 1;
      expected_.pop();
    }
    served_ += 1;
  }
  void clear() noexcept {
    waiting_.fill(0);
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
  static constexpr std::uint8_t waiting_max = 8;
  static constexpr std::uint32_t senders_bits = 12;
  static constexpr std::uint32_t senders = 1U << senders_bits;  // of a place: a number of both

  // An answer's sender is who was told the index that it names, from wherever it says it comes.
  [[nodiscard]] std::uint8_t& waiting_of(Bytes message, const SocketAddress& source) noexcept {
    switch (classify(message)) {
      case MessageType::response:
        return waiting_[place_of(load_le32(&message[ResponseLayout::receiver_index]))];
      case MessageType::cookie_reply:
        return waiting_[place_of(~load_le32(&message[CookieReplyLayout::receiver_index]))];
      default:
        return waiting_[senders + known_.place_of(source) % senders];
    }
  }
  // Indices are random but for their mark.
  [[nodiscard]] static std::uint32_t place_of(std::uint32_t index) noexcept {
    return (index * 0x9e37'79b1U) >> (32 - senders_bits);
  }
  [[nodiscard]] bool is_turn_of_strangers() const noexcept {
    return expected_.empty() || (served_ % 4 == 3 && !strangers_.empty());
  }

  std::uint32_t served_ = 0;
  // In expected_, by place of the sender: of answers, then of initiations.
  std::array<std::uint8_t, std::size_t{2} * senders> waiting_{};
  HandshakeQueue expected_;
  HandshakeQueue strangers_;
  KnownSources known_;
};

}  // namespace wgring::noise

// HandshakeQueue: handshake messages that wait for their turn; its length is "under load".
#pragma once

#include <cstdint>

#include "base/region.hpp"
#include "base/time.hpp"
#include "noise/constants.hpp"
#include "noise/endpoint.hpp"
#include "noise/messages.hpp"

namespace wgring::noise {

struct QueuedHandshake {
  std::uint32_t bytes = 0;
  SocketAddress source;
  LocalSource destination;
  bool admitted = false;                        // at the door, or by another shard
  ByteArray<InitiationLayout::size> message{};  // the largest of them

  [[nodiscard]] Bytes view() const noexcept { return Bytes{message}.first(bytes); }
};

// A ring of incoming_handshakes_max on given memory, touched as far as it was ever filled.
// Owner: Core. Order: first in, first out; full means the newest is refused (protocol 6.3).
class HandshakeQueue {
 public:
  [[nodiscard]] bool open(const MemorySource& memory) noexcept {
    constexpr std::size_t bytes = sizeof(QueuedHandshake) * incoming_handshakes_max;
    return region_.reserve(memory, bytes) && region_.ensure(bytes);
  }

  [[nodiscard]] bool push(Bytes message, const SocketAddress& source,
                          const LocalSource& destination, bool admitted = false) noexcept {
    arrived_ += 1;
    if (count_ == incoming_handshakes_max) {
      return false;
    }
    QueuedHandshake& at = entry((head_ + count_) % incoming_handshakes_max);
    at.bytes = static_cast<std::uint32_t>(message.size());
    at.source = source;
    at.destination = destination;
    at.admitted = admitted;
    copy_bytes(at.message, message);
    count_ += 1;
    return true;
  }
  [[nodiscard]] const QueuedHandshake& front() const noexcept {
    WG_ASSERT(count_ > 0);
    return entry(head_);
  }
  void pop() noexcept {
    WG_ASSERT(count_ > 0);
    // An empty queue starts again at its first entry, so a quiet one stays in one page.
    count_ -= 1;
    head_ = count_ == 0 ? 0 : (head_ + 1) % incoming_handshakes_max;
  }
  void clear() noexcept { head_ = count_ = 0; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  // Protocol 6: 512 wait now, or did so less than one second ago. And it stays while as many came
  // in during that second: cookies empty the queue, and would else end the load that they are for.
  [[nodiscard]] bool under_load(Instant now) noexcept {
    const bool ends = loaded_until_ != Instant::min() && now >= loaded_until_;
    const bool goes_on =
        ends && now - loaded_until_ < under_load_hold && arrived_ >= under_load_handshakes;
    if (count_ >= under_load_handshakes || goes_on) {
      loaded_until_ = now + under_load_hold;
      arrived_ = 0;
    } else if (ends) {
      loaded_until_ = Instant::min();
    }
    return now < loaded_until_;
  }

 private:
  [[nodiscard]] QueuedHandshake& entry(std::size_t at) const noexcept {
    return reinterpret_cast<QueuedHandshake*>(region_.data())[at];  // NOLINT: page-aligned
  }

  Region region_;
  std::size_t head_ = 0;
  std::size_t count_ = 0;
  std::size_t arrived_ = 0;  // since loaded_until_ was set
  Instant loaded_until_ = Instant::min();
};

}  // namespace wgring::noise

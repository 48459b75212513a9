// WatchedAead: a backend in front of another one, to see what the pipeline asks of it.
#pragma once

#include <chrono>
#include <vector>

#include "crypto/aead.hpp"

namespace wgring::bench {

// One at a time: a backend is functions and has no place for an object. Thread: one.
class WatchedAead {
 public:
  explicit WatchedAead(const crypto::Aead& inner);
  WatchedAead(const WatchedAead&) = delete;
  WatchedAead& operator=(const WatchedAead&) = delete;
  ~WatchedAead();

  [[nodiscard]] const crypto::Aead& aead() const noexcept { return watching_; }
  // Time spent in the backend so far; each call adds one reading of the clock.
  [[nodiscard]] std::chrono::nanoseconds taken() const noexcept { return taken_; }

  // From here on calls are written down, with keys and places, until recording is stopped.
  void start_recording() {
    calls_.clear();
    recording_ = true;
  }
  void stop_recording() noexcept { recording_ = false; }
  // The same calls on the same bytes, and nothing around them. The bytes must still be there.
  void replay();

 private:
  struct Call {
    ByteArray<32> key;
    std::vector<crypto::SealSegment> seals;
    std::vector<crypto::OpenSegment> opens;
  };

  static void seal(BytesOf<32> key, std::span<const crypto::SealSegment> train) noexcept;
  static void open(BytesOf<32> key, std::span<crypto::OpenSegment> train) noexcept;

  const crypto::Aead& inner_;
  crypto::Aead watching_;
  std::chrono::nanoseconds taken_{};
  bool recording_ = false;
  std::vector<Call> calls_;
};

}  // namespace wgring::bench

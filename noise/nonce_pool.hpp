// NoncePool: nonces of cookie replies, several to one question for entropy. A flood is answered
// ten thousand times a second, and each question is a system call.
#pragma once

#include "base/bytes.hpp"
#include "noise/entropy.hpp"

namespace wgring::noise {

// Owner: the cookie maker. A nonce is public: what waits here is no secret.
class NoncePool {
 public:
  static constexpr std::size_t nonce_bytes = 24;
  static constexpr std::size_t count = 10;  // the system gives 256 bytes without a pause

  // One that was never drawn before. False: no entropy, and `to` is untouched.
  [[nodiscard]] bool draw(MutableBytesOf<nonce_bytes> to, const Entropy& entropy) noexcept {
    if (left_ == 0) {
      if (!entropy(bytes_)) {
        return false;
      }
      left_ = count;
    }
    copy_bytes(to, fixed<nonce_bytes>(Bytes{bytes_}, (count - left_) * nonce_bytes));
    left_ -= 1;
    return true;
  }

 private:
  ByteArray<count * nonce_bytes> bytes_{};
  std::size_t left_ = 0;
};

}  // namespace wgring::noise

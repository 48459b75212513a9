// CookieChecker: proof of address, and how often who has it may make us compute (protocol 6 and 7).
#pragma once

#include <optional>

#include "noise/cookie.hpp"
#include "noise/drop.hpp"
#include "noise/ratelimiter.hpp"

namespace wgring::noise {

// Asked under load, of initiations and responses whose mac1 is valid. Owner: one thread, whose
// `now` never goes back.
class CookieChecker {
 public:
  explicit CookieChecker(const Entropy& entropy) noexcept : entropy_(entropy) {}
  // False: no memory or no entropy.
  [[nodiscard]] bool open(const MemorySource& memory) noexcept {
    return limiter_.open(memory, entropy_);
  }

  // Nothing: `message` carries a cookie that was sent to `source`, and its turn has come. Else
  // why not; with cookie_sent `reply` is the answer, to go back to where the message came from.
  [[nodiscard]] std::optional<Drop> refuse(Bytes message, const SocketAddress& source,
                                           const MacKeys& ours, Instant now,
                                           MutableBytesOf<CookieReplyLayout::size> reply) noexcept {
    if (cookies_.mac2_valid(message, source, now, entropy_)) {
      return limiter_.allow(source.ip, now) ? std::nullopt : std::optional{Drop::rate_limited};
    }
    return cookies_.make_reply(reply, message, source, ours, now, entropy_) ? Drop::cookie_sent
                                                                            : Drop::no_entropy;
  }
  // As RateLimiter::collect().
  void collect(Instant now) noexcept { limiter_.collect(now); }

 private:
  Entropy entropy_;
  CookieMaker cookies_;
  RateLimiter limiter_;
};

}  // namespace wgring::noise

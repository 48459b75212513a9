// RefusedDestinations: where trains were refused as a whole, for a while.
#pragma once

#include <array>
#include <cstddef>

#include "base/time.hpp"
#include "noise/endpoint.hpp"

namespace wgring::tun {

// A path without segmentation (no checksum offload on its way, IPsec, a smaller MTU) says so with
// an error; other destinations are not concerned, and the path may change. Owner: one SendQueue.
class RefusedDestinations {
 public:
  static constexpr std::size_t destinations_max = 16;
  static constexpr Duration refused_for = std::chrono::seconds{60};

  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  // Replaces the oldest when the table is full.
  void add(const noise::IpAddress& ip, Instant now) noexcept {
    entries_[next_] = Entry{.ip = ip, .until = now + refused_for};
    next_ = (next_ + 1) % destinations_max;
    count_ = count_ < destinations_max ? count_ + 1 : count_;
  }
  void forget(const noise::IpAddress& ip) noexcept {
    for (Entry& entry : entries_) {
      entry.until = entry.ip == ip ? Instant{} : entry.until;
    }
  }
  // What has expired is forgotten on the way.
  [[nodiscard]] bool contains(const noise::IpAddress& ip, Instant now) noexcept {
    bool any = false;
    bool found = false;
    for (const Entry& entry : entries_) {
      const bool valid = entry.until > now;
      any = any || valid;
      found = found || (valid && entry.ip == ip);
    }
    if (!any) {
      count_ = next_ = 0;
    }
    return found;
  }

 private:
  struct Entry {
    noise::IpAddress ip;
    Instant until{};
  };
  std::array<Entry, destinations_max> entries_{};
  std::size_t count_ = 0;
  std::size_t next_ = 0;
};

}  // namespace wgring::tun

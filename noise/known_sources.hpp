// KnownSources: where authentic peers were last seen, or are configured to be.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/region.hpp"
#include "noise/endpoint.hpp"
#include "noise/entropy.hpp"

namespace wgring::noise {

// A table of fingerprints under a secret key, each source in one place: of two that share a place
// the later is known. It is a hint, of which nothing follows but whose turn comes first: who
// speaks in the name of a known source has only that.
// Owner: one thread. Memory is touched as sources are noted.
class KnownSources {
 public:
  static constexpr std::size_t places = 65'536;

  // False: no memory or no entropy.
  [[nodiscard]] bool open(const MemorySource& memory, const Entropy& entropy) noexcept;
  void note(const SocketAddress& source) noexcept;
  [[nodiscard]] bool knows(const SocketAddress& source) const noexcept;
  // Below `places`; nobody else can tell who shares one.
  [[nodiscard]] std::uint32_t place_of(const SocketAddress& source) const noexcept {
    return print_of(source).place;
  }

 private:
  struct Print {
    std::uint32_t place;
    std::uint32_t mark;  // not 0, which is an empty place
  };
  [[nodiscard]] Print print_of(const SocketAddress& source) const noexcept;
  [[nodiscard]] std::uint32_t& at(std::uint32_t place) const noexcept;

  Region marks_;
  ByteArray<16> hash_key_{};
};

}  // namespace wgring::noise

#include "noise/known_sources.hpp"

#include <algorithm>

#include "crypto/siphash.hpp"

namespace wgring::noise {

bool KnownSources::open(const MemorySource& memory, const Entropy& entropy) noexcept {
  constexpr std::size_t bytes = sizeof(std::uint32_t) * places;
  return entropy(hash_key_) && marks_.reserve(memory, bytes) && marks_.ensure(bytes);
}

void KnownSources::note(const SocketAddress& source) noexcept {
  const Print print = print_of(source);
  at(print.place) = print.mark;
}

bool KnownSources::knows(const SocketAddress& source) const noexcept {
  const Print print = print_of(source);
  return at(print.place) == print.mark;
}

// Family and port stand before the address, so that no two sources are the same bytes.
KnownSources::Print KnownSources::print_of(const SocketAddress& source) const noexcept {
  ByteArray<20> bytes{};
  bytes[0] = static_cast<std::uint8_t>(source.ip.family);
  store_be16(&bytes[2], source.port);
  std::copy(source.ip.bytes.begin(), source.ip.bytes.end(), &bytes[4]);
  const std::uint64_t hash = crypto::siphash(hash_key_, bytes);
  return {.place = static_cast<std::uint32_t>(hash % places),
          .mark = static_cast<std::uint32_t>(hash >> 32U) | 1U};
}

std::uint32_t& KnownSources::at(std::uint32_t place) const noexcept {
  return reinterpret_cast<std::uint32_t*>(marks_.data())[place];  // NOLINT: page-aligned
}

}  // namespace wgring::noise

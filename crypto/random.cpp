#include "crypto/random.hpp"

#include <atomic>

#include <sodium.h>

#include "crypto/random_source.hpp"
#include "crypto/secret.hpp"

namespace wgring::crypto {
namespace {

// Relaxed: initialise() runs on the main thread before any other is started.
std::atomic<bool> allowed{false};

bool from_sodium(MutableBytes out) noexcept {
  if (!allowed.load(std::memory_order_relaxed)) {
    return false;
  }
  randombytes_buf(out.data(), out.size());
  return true;
}

bool looks_stuck(Bytes bytes) noexcept {
  constexpr std::size_t judged_bytes_min = 16;
  if (bytes.size() < judged_bytes_min) {
    return false;
  }
  // No early exit: what was drawn is a secret.
  std::uint8_t difference = 0;
  for (const std::uint8_t byte : bytes) {
    difference = static_cast<std::uint8_t>(difference | (byte ^ bytes[0]));
  }
  return difference == 0;
}

}  // namespace

bool random_from(RandomSource source, MutableBytes out) noexcept {
  if (!source(out) || looks_stuck(out)) {
    wipe(out);
    return false;
  }
  return true;
}

bool random_bytes(MutableBytes out) noexcept { return random_from(from_sodium, out); }

void allow_random() noexcept { allowed.store(true, std::memory_order_relaxed); }

}  // namespace wgring::crypto

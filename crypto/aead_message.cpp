// The handshake's AEAD: one message at a time, with associated data.
#include <atomic>

#include "crypto/aead.hpp"
#include "crypto/aead_raw.hpp"

namespace wgring::crypto {
namespace {

// Null until choose_aead(). Relaxed: it is set before the threads that use it are started, and
// points to a constant.
std::atomic<const RawAead*> chosen{nullptr};

}  // namespace

const RawAead& message_backend() noexcept {
  const RawAead* now = chosen.load(std::memory_order_relaxed);
  return now != nullptr ? *now : raw_aead_boringssl();
}

void use_for_messages(const RawAead& backend) noexcept {
  chosen.store(&backend, std::memory_order_relaxed);
}

void aead_seal(MutableBytes sealed, Bytes plain, Bytes aad, BytesOf<32> key,
               std::uint64_t counter) noexcept {
  message_backend().seal(sealed, plain, aad, key, counter_nonce(counter));
}

bool aead_open(MutableBytes plain, Bytes sealed, Bytes aad, BytesOf<32> key,
               std::uint64_t counter) noexcept {
  return message_backend().open(plain, sealed, aad, key, counter_nonce(counter));
}

}  // namespace wgring::crypto

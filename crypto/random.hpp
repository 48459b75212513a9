// Random bytes from the kernel, by way of libsodium. This is what the daemon injects into noise/,
// which draws none itself.
#pragma once

#include "base/bytes.hpp"

namespace wgring::crypto {

// Fails closed: on false all of `out` is zero and the caller must not go on with it. It waits for a
// kernel that is not seeded yet; a kernel that gives no randomness at all aborts the process.
[[nodiscard]] bool random_bytes(MutableBytes out) noexcept;

}  // namespace wgring::crypto

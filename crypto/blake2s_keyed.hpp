// Internal to crypto/ and its tests: keyed BLAKE2s with any size of output, which mac() is built
// on. The published keyed vectors have 32 bytes of output.
#pragma once

#include "base/bytes.hpp"

namespace wgring::crypto {

// BLAKE2s(a || b) with a key of 1 to 32 bytes and 1 to 32 bytes of output (asserted).
void keyed_hash(MutableBytes output, Bytes key, Bytes a, Bytes b) noexcept;

}  // namespace wgring::crypto

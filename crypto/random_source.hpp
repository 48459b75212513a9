// Internal to crypto/ and its tests: where random bytes come from, and the judgement of a source.
#pragma once

#include "base/bytes.hpp"

namespace wgring::crypto {

// True when all of `out` was filled.
using RandomSource = bool (*)(MutableBytes out) noexcept;

// Fills `out` from the source; zeroes it and says false when the source fails or is seen to be
// stuck: 16 bytes or more that are all the same (by chance once in 2^120).
[[nodiscard]] bool random_from(RandomSource source, MutableBytes out) noexcept;

// random_bytes() works only after this; called by initialise().
void allow_random() noexcept;

}  // namespace wgring::crypto

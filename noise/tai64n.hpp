// TAI64N timestamps of initiations (protocol section 5): 8 bytes of seconds, 4 of nanoseconds,
// big-endian, ordered as bytes.
#pragma once

#include "base/bytes.hpp"
#include "base/time.hpp"

namespace wgring::noise {

using Timestamp = ByteArray<12>;

// What to send at `now`. Nanoseconds are whitened to steps of 2^24, so that a peer learns nothing
// about our clock's fine grain. At least one step after `last_sent` (all zero: none yet), so that a
// clock that was set back does not silence us (protocol section 24.1).
[[nodiscard]] Timestamp tai64n(WallTime now, const Timestamp& last_sent) noexcept;

// Strictly later. Nothing else about a received timestamp is judged.
[[nodiscard]] bool is_after(const Timestamp& a, const Timestamp& b) noexcept;

}  // namespace wgring::noise

// PrefixWatch: who is told on which shard the owner of a prefix lives, so that packets can be read
// there (docs/adr/0010). Any one of an interface's Devices knows all of it.
#pragma once

#include <cstdint>

#include "noise/config.hpp"

namespace wgring::noise {

// Functions and their context, which outlives the Device. The default: nobody is told.
// Thread: that of the shard whose Device it is. Host bits of prefixes may be set.
struct PrefixWatch {
  void* context = nullptr;
  // A prefix is new, or has another owner now.
  void (*set)(void* context, const Prefix& prefix, std::uint32_t shard) noexcept = nullptr;
  // A prefix that was set has no owner any more.
  void (*clear)(void* context, const Prefix& prefix) noexcept = nullptr;
};

}  // namespace wgring::noise

// How often anything in this process asked for memory. malloc itself is replaced by a counting one,
// which operator new and the libraries call as well.
#pragma once

#include <cstdint>

namespace wgring::bench {

// Of all threads, since the start.
[[nodiscard]] std::uint64_t allocations() noexcept;

}  // namespace wgring::bench

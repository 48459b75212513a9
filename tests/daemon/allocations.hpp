// Memory that runs out at will, in all of test_daemon.
#pragma once

#include <cstddef>

// The thread sanitizer brings operators of its own, which the linker takes for the same.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WG_TEST_OPERATORS_TAKEN
#endif
#endif

namespace wgring::test {

#ifndef WG_TEST_OPERATORS_TAKEN
// Larger allocations throw, of any thread; SIZE_MAX: none.
void limit_allocations(std::size_t largest_bytes) noexcept;
// After so many more, one allocation of this thread throws.
void fail_allocation(std::size_t after) noexcept;
// True: it has.
[[nodiscard]] bool forget_failing_allocation() noexcept;
#endif

}  // namespace wgring::test

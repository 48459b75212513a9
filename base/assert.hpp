// Always-on assertions: a failed one is a bug in us, never a property of input.
#pragma once

namespace wgring {

// Reports the expression with its place, to stderr if nobody else was named, and aborts.
[[noreturn]] void assert_failed(const char* expression, const char* file, int line) noexcept;

using AssertReport = void (*)(const char* expression, const char* file, int line) noexcept;
// Who has no stderr names `report`, to be called instead on the thread that fails. Any thread.
void report_assertions_to(AssertReport report) noexcept;

}  // namespace wgring

// NOLINTBEGIN(cppcoreguidelines-macro-usage): the four macros the house allows.
#define WG_ASSERT(condition)                         \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::wgring::assert_failed(#condition, __FILE__, __LINE__))

// Costly checks: debug builds and the simulator only.
#if defined(WGRING_VERIFY)
#define WG_VERIFY(condition) WG_ASSERT(condition)
#else
#define WG_VERIFY(condition) static_cast<void>(sizeof(condition))
#endif

#define WG_HOT [[gnu::hot, gnu::always_inline]] inline
#define WG_COLD [[gnu::cold, gnu::noinline]]
// NOLINTEND(cppcoreguidelines-macro-usage)

#include "base/assert.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace wgring {
namespace {

void to_stderr(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "wgring: assertion failed: %s (%s:%d)\n", expression, file, line);
}

constinit std::atomic<AssertReport> report_to{to_stderr};

}  // namespace

void assert_failed(const char* expression, const char* file, int line) noexcept {
  report_to.load()(expression, file, line);
  std::abort();
}

void report_assertions_to(AssertReport report) noexcept { report_to.store(report); }

}  // namespace wgring

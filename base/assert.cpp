#include "base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace wgring {

void assert_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "wgring: assertion failed: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace wgring

#include "bench/support/allocations.hpp"

#include <atomic>
#include <cstddef>

namespace {
// Relaxed: a sum, read by a thread that has waited for the others by other means.
constinit std::atomic<std::uint64_t> count{0};

void note() noexcept { count.fetch_add(1, std::memory_order_relaxed); }
}  // namespace

extern "C" {
// glibc's own entry points, so that replacing malloc needs no dlsym (which allocates).
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) noexcept {
  note();
  return __libc_malloc(size);
}
void* calloc(std::size_t number, std::size_t size) noexcept {
  note();
  return __libc_calloc(number, size);
}
void* realloc(void* old, std::size_t size) noexcept {
  note();
  return __libc_realloc(old, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  note();
  return __libc_memalign(alignment, size);
}
}

std::uint64_t wgring::bench::allocations() noexcept {
  return count.load(std::memory_order_relaxed);
}

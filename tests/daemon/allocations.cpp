#include "tests/daemon/allocations.hpp"

#ifndef WG_TEST_OPERATORS_TAKEN
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace {

constexpr std::size_t none = SIZE_MAX;
std::atomic<std::size_t> largest_allocation = none;
thread_local std::size_t failing_after = none;

void* allocate(std::size_t bytes) noexcept {
  if (failing_after != none) {
    if (failing_after == 0) {
      failing_after = none;
      return nullptr;
    }
    failing_after -= 1;
  }
  return bytes > largest_allocation ? nullptr : std::malloc(bytes);
}

}  // namespace

namespace wgring::test {

void limit_allocations(std::size_t largest_bytes) noexcept { largest_allocation = largest_bytes; }
void fail_allocation(std::size_t after) noexcept { failing_after = after; }
bool forget_failing_allocation() noexcept {
  const bool has_failed = failing_after == none;
  failing_after = none;
  return has_failed;
}

}  // namespace wgring::test

// Out of line: the compiler would see malloc() beside delete.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  void* const memory = allocate(bytes);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t& /*tag*/) noexcept {
  return allocate(bytes);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*bytes*/) noexcept {
  std::free(memory);
}
#endif

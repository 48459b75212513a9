#include "tun/memory_source.hpp"

#include <sys/mman.h>

#include "base/assert.hpp"

namespace wgring::tun {
namespace {

std::uint8_t* reserve(void*, std::size_t bytes) noexcept {
  void* const at =
      ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    return nullptr;
  }
  // Keys will live here. An old kernel that refuses still gives working memory.
  static_cast<void>(::madvise(at, bytes, MADV_DONTDUMP));
  static_cast<void>(::madvise(at, bytes, MADV_DONTFORK));
  return static_cast<std::uint8_t*>(at);
}

void release(void*, std::uint8_t* base, std::size_t bytes) noexcept {
  WG_ASSERT(::munmap(base, bytes) == 0);
}

}  // namespace

bool SystemMemory::commit(std::uint8_t* base, std::size_t committed, std::size_t wanted) noexcept {
  WG_ASSERT(committed <= wanted);
  std::uint8_t* const from = base + committed;
  const std::size_t bytes = wanted - committed;
  if (bytes == 0) {
    return true;
  }
  if (::mprotect(from, bytes, PROT_READ | PROT_WRITE) != 0) {
    return false;
  }
  // As far as RLIMIT_MEMLOCK goes, where the process could not lock all that it has. Only pages
  // that are touched count: a committed table of a million peers is mostly untouched.
  static_cast<void>(::mlock2(from, bytes, MLOCK_ONFAULT));
  committed_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  return true;
}

MemorySource SystemMemory::source() noexcept {
  return {.context = this,
          .reserve = reserve,
          .commit =
              [](void* context, std::uint8_t* base, std::size_t committed,
                 std::size_t wanted) noexcept {
                return static_cast<SystemMemory*>(context)->commit(base, committed, wanted);
              },
          .release = release};
}

}  // namespace wgring::tun

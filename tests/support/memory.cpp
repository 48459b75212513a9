#include "tests/support/memory.hpp"

#include <sys/mman.h>

#include "base/assert.hpp"

namespace wgring::test {

TestMemory::~TestMemory() { WG_ASSERT(blocks_.empty()); }

MemorySource TestMemory::source() noexcept {
  return {.context = this, .reserve = &reserve, .commit = &commit, .release = &release};
}

bool TestMemory::take_step() noexcept {
  const bool taken = steps_left_ > 0;
  steps_left_ -= taken && steps_left_ != unlimited ? 1 : 0;
  return taken;
}

std::uint8_t* TestMemory::reserve(void* context, std::size_t bytes) noexcept {
  auto& self = *static_cast<TestMemory*>(context);
  if (self.refuses_ || !self.take_step()) {
    return nullptr;
  }
  void* const base =
      ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return nullptr;
  }
  auto* const at = static_cast<std::uint8_t*>(base);
  self.blocks_[at] = {.reserved = bytes, .committed = 0};
  return at;
}

bool TestMemory::commit(void* context, std::uint8_t* base, std::size_t committed,
                        std::size_t wanted) noexcept {
  auto& self = *static_cast<TestMemory*>(context);
  const auto found = self.blocks_.find(base);
  WG_ASSERT(found != self.blocks_.end());
  WG_ASSERT(found->second.committed == committed);
  WG_ASSERT(wanted > committed && wanted <= found->second.reserved);
  if (!self.take_step()) {
    return false;
  }
  const std::size_t more = wanted - committed;
  if (self.committed_ > self.budget_ || more > self.budget_ - self.committed_) {
    return false;
  }
  if (::mprotect(base, wanted, PROT_READ | PROT_WRITE) != 0) {
    return false;
  }
  found->second.committed = wanted;
  self.committed_ += more;
  return true;
}

void TestMemory::release(void* context, std::uint8_t* base, std::size_t bytes) noexcept {
  auto& self = *static_cast<TestMemory*>(context);
  const auto found = self.blocks_.find(base);
  WG_ASSERT(found != self.blocks_.end());
  WG_ASSERT(found->second.reserved == bytes);
  self.committed_ -= found->second.committed;
  self.blocks_.erase(found);
  WG_ASSERT(::munmap(base, bytes) == 0);
}

}  // namespace wgring::test

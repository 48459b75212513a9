// Memory of the system for the core: address space first, pages when needed, kept out of dumps, out
// of children and, where the limits allow it, out of swap.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/memory_source.hpp"

namespace wgring::tun {

// Owner: the process. Thread: any. Lifetime: outlives every Region that grows from source().
class SystemMemory {
 public:
  SystemMemory() noexcept = default;
  SystemMemory(const SystemMemory&) = delete;
  SystemMemory& operator=(const SystemMemory&) = delete;

  [[nodiscard]] MemorySource source() noexcept;
  [[nodiscard]] std::size_t committed_bytes() const noexcept { return committed_bytes_.load(); }

 private:
  bool commit(std::uint8_t* base, std::size_t committed, std::size_t wanted) noexcept;

  std::atomic<std::size_t> committed_bytes_{0};
};

}  // namespace wgring::tun

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
  // The errno of the first page range that could not be locked; 0: all is locked. Locking is a
  // best effort (RLIMIT_MEMLOCK), so this is for the log and not an error.
  [[nodiscard]] int lock_errno() const noexcept { return lock_errno_.load(); }
  [[nodiscard]] std::size_t committed_bytes() const noexcept { return committed_bytes_.load(); }

 private:
  bool commit(std::uint8_t* base, std::size_t committed, std::size_t wanted) noexcept;

  std::atomic<int> lock_errno_{0};
  std::atomic<std::size_t> committed_bytes_{0};
};

}  // namespace wgring::tun

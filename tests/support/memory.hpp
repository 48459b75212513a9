// TestMemory: a MemorySource on mmap, with a budget so that running out of memory can be had.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <unordered_map>

#include "base/memory_source.hpp"

namespace wgring::test {

// Lifetime: outlives all that grows on it; the destructor aborts when a reservation is left.
// Uncommitted bytes fault when touched.
class TestMemory {
 public:
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

  explicit TestMemory(std::size_t commit_budget = unlimited) : budget_(commit_budget) {}
  TestMemory(const TestMemory&) = delete;
  TestMemory& operator=(const TestMemory&) = delete;
  ~TestMemory();

  [[nodiscard]] MemorySource source() noexcept;
  // Commits beyond this fail from now on; what is committed already stays.
  void set_commit_budget(std::size_t bytes) noexcept { budget_ = bytes; }
  // After so many more, reservations and commits fail; unlimited: none does.
  void fail_steps(std::size_t after) noexcept { steps_left_ = after; }
  void refuse_reservations(bool refuse) noexcept { refuses_ = refuse; }
  [[nodiscard]] std::size_t committed_bytes() const noexcept { return committed_; }
  [[nodiscard]] std::size_t reservations() const noexcept { return blocks_.size(); }

 private:
  static std::uint8_t* reserve(void* context, std::size_t bytes) noexcept;
  static bool commit(void* context, std::uint8_t* base, std::size_t committed,
                     std::size_t wanted) noexcept;
  static void release(void* context, std::uint8_t* base, std::size_t bytes) noexcept;

  // False: it fails.
  [[nodiscard]] bool take_step() noexcept;

  struct Block {
    std::size_t reserved = 0;
    std::size_t committed = 0;
  };
  std::unordered_map<std::uint8_t*, Block> blocks_;
  std::size_t budget_;
  std::size_t committed_ = 0;
  std::size_t steps_left_ = unlimited;
  bool refuses_ = false;
};

}  // namespace wgring::test

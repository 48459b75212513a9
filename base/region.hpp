// Region: one reservation with a growing committed prefix. Objects in it never move.
#pragma once

#include <utility>

#include "base/bytes.hpp"
#include "base/memory_source.hpp"

namespace wgring {

// Owner: the object that grows. Lifetime: addresses stay valid until destruction.
class Region {
 public:
  Region() noexcept = default;
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  Region(Region&& other) noexcept { swap(other); }
  Region& operator=(Region&& other) noexcept {
    Region taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~Region() {
    if (base_ != nullptr) {
      source_.release(source_.context, base_, reserved_bytes_);
    }
  }

  // False: no address space. Only once per region.
  [[nodiscard]] bool reserve(const MemorySource& source, std::size_t bytes) noexcept {
    WG_ASSERT(base_ == nullptr);
    source_ = source;
    base_ = source.reserve(source.context, bytes);
    reserved_bytes_ = base_ == nullptr ? 0 : bytes;
    return base_ != nullptr;
  }

  // Ensures that [0, bytes) is usable. Commits in steps of a chunk, so small growth is cheap.
  [[nodiscard]] bool ensure(std::size_t bytes) noexcept {
    if (bytes <= committed_bytes_) {
      return true;
    }
    if (bytes > reserved_bytes_) {
      return false;
    }
    const std::size_t rounded = (bytes + chunk_bytes - 1) / chunk_bytes * chunk_bytes;
    const std::size_t wanted = rounded < reserved_bytes_ ? rounded : reserved_bytes_;
    if (!source_.commit(source_.context, base_, committed_bytes_, wanted)) {
      return false;
    }
    committed_bytes_ = wanted;
    return true;
  }

  [[nodiscard]] std::uint8_t* data() const noexcept { return base_; }
  [[nodiscard]] std::size_t committed_bytes() const noexcept { return committed_bytes_; }

 private:
  static constexpr std::size_t chunk_bytes = std::size_t{64} * 1024;

  void swap(Region& other) noexcept {
    std::swap(source_, other.source_);
    std::swap(base_, other.base_);
    std::swap(reserved_bytes_, other.reserved_bytes_);
    std::swap(committed_bytes_, other.committed_bytes_);
  }

  MemorySource source_{};
  std::uint8_t* base_ = nullptr;
  std::size_t reserved_bytes_ = 0;
  std::size_t committed_bytes_ = 0;
};

}  // namespace wgring

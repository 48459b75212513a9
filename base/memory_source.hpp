// Where long-lived memory comes from: injected, so that the core never allocates by itself.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wgring {

// A reservation is address space only; a committed prefix of it reads as zero and is usable.
// Keys live in such memory, so a source may lock it and keep it out of dumps.
// Thread: called from whichever thread owns the object that grows.
struct MemorySource {
  void* context = nullptr;
  // `bytes` of address space, page-aligned; nullptr when there is none.
  std::uint8_t* (*reserve)(void* context, std::size_t bytes) noexcept = nullptr;
  // Makes [committed, wanted) usable as well; false: out of memory, nothing changed.
  bool (*commit)(void* context, std::uint8_t* base, std::size_t committed,
                 std::size_t wanted) noexcept = nullptr;
  // Gives a whole reservation back; its committed bytes have been wiped by the owner if need be.
  void (*release)(void* context, std::uint8_t* base, std::size_t bytes) noexcept = nullptr;
};

}  // namespace wgring

#include "tun/packet_memory.hpp"

#include <errno.h>
#include <sys/mman.h>

#include "base/assert.hpp"

namespace wgring::tun {

Status PacketMemory::open(std::size_t bytes, std::string_view what) noexcept {
  WG_ASSERT(data_ == nullptr);
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    return fail(errno, what);
  }
  static_cast<void>(::madvise(at, bytes, MADV_DONTDUMP));
  static_cast<void>(::madvise(at, bytes, MADV_DONTFORK));
  data_ = static_cast<std::uint8_t*>(at);
  bytes_ = bytes;
  return {};
}

PacketMemory::~PacketMemory() {
  if (data_ != nullptr) {
    WG_ASSERT(::munmap(data_, bytes_) == 0);
  }
}

}  // namespace wgring::tun

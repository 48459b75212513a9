#include "tun/engine/receive_ring.hpp"

#include <sys/mman.h>

namespace wgring::tun {
namespace {

constexpr int group = 0;
constexpr std::size_t mapping_bytes = 4096;  // the kernel wants whole pages
static_assert(ReceiveRing::slots_max * sizeof(io_uring_buf) <= mapping_bytes);
static_assert((ReceiveRing::slots_max & (ReceiveRing::slots_max - 1)) == 0);

constexpr std::size_t name_bytes = 32;
static_assert(name_bytes >= sizeof(sockaddr_in6) && name_bytes % alignof(cmsghdr) == 0);
constexpr std::size_t control_bytes =
    train_headroom_bytes - sizeof(io_uring_recvmsg_out) - name_bytes;
static_assert(control_bytes >= ReceiveFrame::control_bytes_max);

}  // namespace

ReceiveRing::~ReceiveRing() { WG_ASSERT(!is_open()); }

Status ReceiveRing::open(io_uring& ring) noexcept {
  WG_ASSERT(!is_open());
  void* const at =
      ::mmap(nullptr, mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    return fail(errno, "mmap: a page for the receive ring");
  }
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uintptr_t>(at);
  registration.ring_entries = slots_max;
  registration.bgid = group;
  if (const int error = ::io_uring_register_buf_ring(&ring, &registration, 0); error < 0) {
    WG_ASSERT(::munmap(at, mapping_bytes) == 0);
    return fail(-error, "io_uring_register(PBUF_RING): refused; kernel before 5.19");
  }
  entries_ = static_cast<io_uring_buf_ring*>(at);
  ::io_uring_buf_ring_init(entries_);
  layout_ = {};
  layout_.msg_namelen = name_bytes;
  layout_.msg_controllen = control_bytes;
  return {};
}

void ReceiveRing::close(io_uring& ring) noexcept {
  if (!is_open()) {
    return;
  }
  static_cast<void>(::io_uring_unregister_buf_ring(&ring, group));
  WG_ASSERT(::munmap(entries_, mapping_bytes) == 0);
  entries_ = nullptr;
  for (Slot& slot : slots_) {
    slot.reset();
  }
  lent_ = 0;
}

void ReceiveRing::refill(SlotPool& trains) noexcept {
  int added = 0;
  for (std::size_t id = 0; id < slots_max && lent_ < slots_max; ++id) {
    if (slots_[id]) {
      continue;
    }
    slots_[id] = trains.take();
    if (!slots_[id]) {
      break;
    }
    const MutableBytes room = slots_[id].with_headroom();
    ::io_uring_buf_ring_add(entries_, room.data(), static_cast<unsigned>(room.size()),
                            static_cast<std::uint16_t>(id), slots_max - 1, added);
    added += 1;
    lent_ += 1;
  }
  if (added > 0) {
    ::io_uring_buf_ring_advance(entries_, added);
  }
}

void ReceiveRing::prepare(io_uring_sqe* entry, int fd) noexcept {
  ::io_uring_prep_recvmsg_multishot(entry, fd, &layout_, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = group;
}

Slot ReceiveRing::take(std::size_t id) noexcept {
  WG_ASSERT(id < slots_max && slots_[id]);
  lent_ -= 1;
  return std::move(slots_[id]);
}

Parsed ReceiveRing::parse(const Slot& slot, noise::Wild& wild,
                          std::uint32_t& kernel_drops) const noexcept {
  std::uint8_t* const at = slot.with_headroom().data();
  const auto* const out = reinterpret_cast<const io_uring_recvmsg_out*>(at);
  msghdr header{};
  header.msg_name = at + sizeof *out;
  header.msg_namelen = out->namelen;
  header.msg_control = at + sizeof *out + name_bytes;
  header.msg_controllen = out->controllen;
  header.msg_flags = static_cast<int>(out->flags);
  return parse_received(header, out->payloadlen, wild, kernel_drops);
}

}  // namespace wgring::tun

// TUN writes: the virtio_net_hdr in front of the packet says whether it is a joined one.
#include <algorithm>
#include <array>
#include <optional>

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "tests/persona/judge.hpp"
#include "tests/persona/target.hpp"

namespace wgring::persona {
namespace {

// virtio_net_hdr; the kernel's own header is not C++.
struct VnetHeader {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = 0;
  std::array<std::uint16_t, 4> sizes{};
};
constexpr std::size_t header_bytes = sizeof(VnetHeader);
static_assert(header_bytes == 10);
constexpr unsigned gso_none = 0;
constexpr unsigned gso_ecn_bit = 0x80;

constexpr std::uint64_t pieces_max = 1024;  // UIO_MAXIOV
constexpr int writes_of_a_test_at_start = 8;

// The first bytes of what is written, wherever the caller has them.
std::optional<VnetHeader> header_of_pieces(const Target& target, std::uint64_t address,
                                           std::uint64_t count) {
  const auto pieces =
      target.read_array<iovec>(address, static_cast<std::size_t>(std::min(count, pieces_max)));
  VnetHeader header;
  std::size_t filled = 0;
  for (std::size_t i = 0; pieces && i < pieces->size() && filled < header_bytes; ++i) {
    const iovec& piece = (*pieces)[i];
    const std::size_t bytes = std::min(piece.iov_len, header_bytes - filled);
    auto* const to = reinterpret_cast<std::byte*>(&header) + filled;
    if (!target.read(reinterpret_cast<std::uint64_t>(piece.iov_base), to, bytes)) {
      return std::nullopt;
    }
    filled += bytes;
  }
  return filled == header_bytes ? std::optional(header) : std::nullopt;
}

std::optional<VnetHeader> header_of(const Target& target, const Call& call) {
  if (call.number != SYS_write && call.number != SYS_pwrite64) {
    return header_of_pieces(target, call.arguments[1], call.arguments[2]);
  }
  VnetHeader header;
  if (call.arguments[2] < header_bytes || !target.read(call.arguments[1], &header, header_bytes)) {
    return std::nullopt;
  }
  return header;
}

// Without IFF_VNET_HDR the same bytes are the beginning of an IP packet.
bool takes_headers(const Target& target, int descriptor) {
  const OwnFd tun = target.take(descriptor);
  ifreq answer{};
  if (!tun || ::ioctl(tun.get(), TUNGETIFF, &answer) != 0) {
    return true;  // no interface yet, hence no flags: only a probe writes here
  }
  return (answer.ifr_flags & IFF_VNET_HDR) != 0;
}

bool is_gso_write(const Call& call) {
  const Target target(call.thread);
  const auto descriptor = static_cast<int>(call.arguments[0]);
  if (!target.is_tun(descriptor)) {
    return false;
  }
  const auto header = header_of(target, call);
  return header && (header->gso_type & ~gso_ecn_bit) != gso_none &&
         takes_headers(target, descriptor);
}

}  // namespace

Verdict refuse_gso_write(const Call& call) {
  return is_gso_write(call) ? Verdict::fails_with(EINVAL) : Verdict::carry_on();
}

Verdict refuse_late_gso_write(const Call& call) {
  static int passed = 0;
  if (!is_gso_write(call)) {
    return Verdict::carry_on();
  }
  if (passed < writes_of_a_test_at_start) {
    ++passed;
    return Verdict::carry_on();
  }
  return Verdict::fails_with(EINVAL);
}

}  // namespace wgring::persona

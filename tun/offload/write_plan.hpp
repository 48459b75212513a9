// WritePlan: what one outbox means for TUN, as gathered writes in order.
//
// clang-format off
//   | headroom | packet |                                  one packet: its header lies before it
//   | headroom | packet | ... | payload | ... | payload |  a run: the first packet and payloads
// clang-format on
//
// No byte of a payload moves: headers of the device are written into the room in front of packets.
#pragma once

#include <cstdint>
#include <span>

#include <sys/uio.h>

#include "base/fixed_vector.hpp"
#include "noise/outbox.hpp"
#include "tun/offload/join.hpp"

namespace wgring::tun {

// Whether packets on this TUN carry a virtio_net_hdr.
enum class VnetMode : std::uint8_t { off, on };

// Owner: one engine. All it describes are loans of the slots it was built from.
class WritePlan {
 public:
  struct Write {
    std::uint32_t first_piece = 0;
    std::uint32_t pieces = 0;
    std::uint32_t packets = 0;
    Joiner::Undo undo;  // of a run of more than one packet
  };

  void build(noise::Outbox& outbox, VnetMode mode, JoinPolicy policy) noexcept;
  void clear() noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return writes_.size(); }
  [[nodiscard]] const Write& operator[](std::size_t i) const noexcept { return writes_[i]; }
  [[nodiscard]] std::span<const iovec> pieces(const Write& write) const noexcept {
    return {pieces_.begin() + write.first_piece, write.pieces};
  }
  // The kernel refused a run: makes single packets of it again, each one piece. Calls
  // visit(iovec) in order. Afterwards the write is of no use.
  template <typename Visit>
  void unjoin(const Write& write, Visit&& visit) noexcept {
    const std::span<const iovec> run = pieces(write);
    visit(first_alone(run[0], write.undo));
    for (const iovec& payload : run.subspan(1)) {
      visit(other_alone(payload, write.undo));
    }
  }

 private:
  static constexpr std::size_t writes_max = noise::Outbox::inners_max;

  void add_alone(MutableBytes packet, VnetMode mode) noexcept;
  void flush(VnetMode mode) noexcept;
  [[nodiscard]] static iovec first_alone(const iovec& piece, const Joiner::Undo& undo) noexcept;
  [[nodiscard]] static iovec other_alone(const iovec& piece, const Joiner::Undo& undo) noexcept;

  Joiner joiner_{JoinPolicy{}};
  FixedVector<iovec, writes_max> pieces_;
  FixedVector<Write, writes_max> writes_;
};

}  // namespace wgring::tun

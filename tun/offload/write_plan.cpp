#include "tun/offload/write_plan.hpp"

#include <algorithm>

#include "noise/vnet_header.hpp"

namespace wgring::tun {
namespace {

using noise::VnetHeader;

static_assert(noise::inner_headroom_bytes >= VnetHeader::size);

// The packet with the device's header in front of it.
iovec with_header(MutableBytes packet, const VnetHeader& header) noexcept {
  std::uint8_t* const at = packet.data() - VnetHeader::size;
  header.store(at);
  return {.iov_base = at, .iov_len = packet.size() + VnetHeader::size};
}

}  // namespace

void WritePlan::build(noise::Outbox& outbox, VnetMode mode, JoinPolicy policy) noexcept {
  clear();
  const bool joins = mode == VnetMode::on && policy.any();
  joiner_.set_policy(policy);
  for (const noise::Deliver& run : outbox.delivers) {
    // A run inside one slot is best joined in one piece.
    if (joins && joiner_.room() < std::min<std::size_t>(run.inner_count, Joiner::packets_max)) {
      flush(mode);
    }
    for (std::uint32_t i = 0; i < run.inner_count; ++i) {
      const noise::Inner& inner = outbox.inners[run.first_inner + i];
      const MutableBytes packet = run.slot.bytes().subspan(inner.offset_bytes, inner.bytes);
      if (!joins) {
        add_alone(packet, mode);
      } else {
        if (joiner_.room() == 0) {
          flush(mode);
        }
        joiner_.add(packet);
      }
    }
  }
  if (joins) {
    flush(mode);
  }
}

void WritePlan::clear() noexcept {
  pieces_.clear();
  writes_.clear();
}

void WritePlan::add_alone(MutableBytes packet, VnetMode mode) noexcept {
  writes_.push_back(Write{.first_piece = static_cast<std::uint32_t>(pieces_.size()),
                          .pieces = 1,
                          .packets = 1,
                          .undo = {}});
  pieces_.push_back(mode == VnetMode::on
                        ? with_header(packet, VnetHeader{})
                        : iovec{.iov_base = packet.data(), .iov_len = packet.size()});
}

void WritePlan::flush(VnetMode mode) noexcept {
  joiner_.finish();
  for (std::size_t i = 0; i < joiner_.run_count(); ++i) {
    const auto packets = static_cast<std::uint32_t>(joiner_.packet_count(i));
    if (packets == 1) {
      joiner_.for_each_piece(i, [&](MutableBytes packet) { add_alone(packet, mode); });
      continue;
    }
    writes_.push_back(Write{.first_piece = static_cast<std::uint32_t>(pieces_.size()),
                            .pieces = packets,
                            .packets = packets,
                            .undo = joiner_.undo(i)});
    bool first = true;
    joiner_.for_each_piece(i, [&](MutableBytes piece) {
      pieces_.push_back(first ? with_header(piece, joiner_.header(i))
                              : iovec{.iov_base = piece.data(), .iov_len = piece.size()});
      first = false;
    });
  }
  joiner_.clear();
}

iovec WritePlan::first_alone(const iovec& piece, const Joiner::Undo& undo) noexcept {
  const MutableBytes whole{static_cast<std::uint8_t*>(piece.iov_base), piece.iov_len};
  const MutableBytes packet = whole.subspan(VnetHeader::size);
  Joiner::restore(packet, undo);
  return with_header(packet, VnetHeader{});
}

// The headers of the others still stand in front of their payloads.
iovec WritePlan::other_alone(const iovec& piece, const Joiner::Undo& undo) noexcept {
  const MutableBytes packet{static_cast<std::uint8_t*>(piece.iov_base) - undo.headers_bytes,
                            piece.iov_len + undo.headers_bytes};
  return with_header(packet, VnetHeader{});
}

}  // namespace wgring::tun

#include "tun/engine/tun_reader.hpp"

#include <errno.h>

#include "tun/engine/system_calls.hpp"

namespace wgring::tun {
TunNext settle_tun_read(int errno_value, EngineCounters& counters) noexcept {
  switch (errno_value) {
    case EAGAIN:
    case EINTR:
      return TunNext::drained;
    case EBADFD:
      return TunNext::gone;
    case EBADF:
      return TunNext::fatal;
    default:
      counters.tun_errors.add(errno_value);
      return TunNext::drained;
  }
}

bool settle_tun_write(long result, std::uint32_t packets, EngineCounters& counters) noexcept {
  if (result >= 0) {
    counters.tun_written += packets;
    counters.super_packets_written += packets > 1 ? 1U : 0U;
    return false;
  }
  const auto errno_value = static_cast<int>(-result);
  if (errno_value == EBADFD || errno_value == EBADF) {
    counters.tun_after_end += packets;
    return true;
  }
  counters.tun_errors.add(errno_value, packets);
  return false;
}

bool refuses_joining(long result) noexcept { return result == -EINVAL; }

bool TunReader::open(SlotPool& trains, VnetMode vnet) noexcept {
  header_bytes_ = vnet == VnetMode::on ? noise::VnetHeader::size : 0;
  for (Slot& slot : slots_) {
    slot = trains.take();
    if (!slot) {
      close();
      return false;
    }
  }
  return true;
}

void TunReader::close() noexcept {
  for (Slot& slot : slots_) {
    slot.reset();
  }
}

void TunReader::restart() noexcept {
  slot_ = 0;
  offset_bytes_ = 0;
}

MutableBytes TunReader::next_room() noexcept {
  constexpr std::size_t room_bytes =
      packet_at + inner_packet_bytes_max + noise::plain_tailroom_bytes;
  static_assert(room_bytes <= train_slot_bytes && packet_at >= noise::VnetHeader::size);
  if (slot_ < slots_.size() && offset_bytes_ + room_bytes > train_slot_bytes) {
    slot_ += 1;
    offset_bytes_ = 0;
  }
  if (slot_ == slots_.size()) {
    return {};
  }
  return slots_[slot_].bytes().subspan(offset_bytes_ + packet_at - header_bytes_,
                                       header_bytes_ + inner_packet_bytes_max);
}

bool TunReader::accept(std::size_t bytes, Inbox& inbox, EngineCounters& counters) noexcept {
  if (bytes < header_bytes_) {
    counters.tun_errors.add(EPROTO);
    return false;
  }
  noise::Plain packet;
  packet.data = slots_[slot_].data() + offset_bytes_ + packet_at;
  packet.bytes = static_cast<std::uint32_t>(bytes - header_bytes_);
  if (header_bytes_ > 0) {
    packet.offload = noise::VnetHeader::load(packet.data - header_bytes_);
    counters.super_packets_read += packet.offload.segment_bytes > 0 ? 1U : 0U;
  }
  inbox.plains.push_back(packet);
  const std::size_t end = offset_bytes_ + packet_at + packet.bytes + noise::plain_tailroom_bytes;
  offset_bytes_ = (end + alignment_bytes - 1) / alignment_bytes * alignment_bytes;
  counters.tun_read += 1;
  return true;
}

TunNext TunReader::read(int fd, Inbox& inbox, EngineCounters& counters) noexcept {
  while (inbox.plains.room() > 0) {
    const MutableBytes room = next_room();
    if (room.empty()) {
      break;
    }
    const long result = read_packet(fd, room);
    if (result < 0) {
      if (result == -EINTR) {
        continue;
      }
      return settle_tun_read(static_cast<int>(-result), counters);
    }
    if (!accept(static_cast<std::size_t>(result), inbox, counters)) {
      return TunNext::drained;  // not again at once: who gives such a read may give it for ever
    }
  }
  return TunNext::more;
}

}  // namespace wgring::tun

#include "tun/engine/tun_reader.hpp"

#include <errno.h>

#include "tun/engine/system_calls.hpp"

namespace wgring::tun {
namespace {

constexpr std::size_t room_bytes = inner_packet_bytes_max + noise::plain_tailroom_bytes;
static_assert(room_bytes <= train_slot_bytes);

}  // namespace

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

bool settle_tun_write(int errno_value, EngineCounters& counters) noexcept {
  if (errno_value == EBADFD || errno_value == EBADF) {
    counters.tun_after_end += 1;
    return true;
  }
  counters.tun_errors.add(errno_value);
  return false;
}

bool TunReader::open(SlotPool& trains) noexcept {
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
  if (slot_ < slots_.size() && offset_bytes_ + room_bytes > train_slot_bytes) {
    slot_ += 1;
    offset_bytes_ = 0;
  }
  if (slot_ == slots_.size()) {
    return {};
  }
  return slots_[slot_].bytes().subspan(offset_bytes_, inner_packet_bytes_max);
}

void TunReader::accept(std::size_t bytes, Inbox& inbox, EngineCounters& counters) noexcept {
  noise::Plain packet;
  packet.data = slots_[slot_].data() + offset_bytes_;
  packet.bytes = static_cast<std::uint32_t>(bytes);
  inbox.plains.push_back(packet);
  const std::size_t end = offset_bytes_ + bytes + noise::plain_tailroom_bytes;
  offset_bytes_ = (end + alignment_bytes - 1) / alignment_bytes * alignment_bytes;
  counters.tun_read += 1;
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
    accept(static_cast<std::size_t>(result), inbox, counters);
  }
  return TunNext::more;
}

}  // namespace wgring::tun

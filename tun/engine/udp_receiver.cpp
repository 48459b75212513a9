#include "tun/engine/udp_receiver.hpp"

#include <algorithm>

#include <errno.h>

#include "tun/engine/system_calls.hpp"

namespace wgring::tun {

void count_received(const noise::Wild& wild, EngineCounters& counters) noexcept {
  if (wild.stride_bytes == 0 || wild.stride_bytes >= wild.bytes) {
    counters.udp_received += 1;
    return;
  }
  counters.trains_received += 1;
  counters.udp_received += (wild.bytes + wild.stride_bytes - 1) / wild.stride_bytes;
}

void UdpReceiver::refill(SlotPool& trains, std::size_t count) noexcept {
  while (filled_ < count) {
    Slot slot = trains.take();
    if (!slot) {
      return;
    }
    slots_[filled_] = std::move(slot);
    filled_ += 1;
  }
}

void UdpReceiver::release() noexcept {
  for (Slot& slot : slots_) {
    slot.reset();
  }
  filled_ = 0;
}

int UdpReceiver::receive_some(int fd, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    // The last slots first, so that the taken ones stay a prefix.
    prepare_receive(frames_[i], slots_[filled_ - 1 - i].bytes(), messages_[i].msg_hdr);
    messages_[i].msg_len = 0;
  }
  return receive_messages(fd, std::span{messages_}.first(count));
}

// Without a slot a datagram is taken and lost, counted: left in the socket it would keep the
// descriptor readable and the thread spinning.
int UdpReceiver::drop_one(int fd, EngineCounters& counters) noexcept {
  prepare_receive(frames_[0], {}, messages_[0].msg_hdr);
  const int result = receive_messages(fd, std::span{messages_}.first(1));
  counters.udp_no_buffer += result == 1 ? 1U : 0U;
  return result;
}

void UdpReceiver::accept(std::size_t count, Inbox& inbox, EngineCounters& counters,
                         std::uint32_t& kernel_drops) noexcept {
  const std::size_t before = filled_;
  for (std::size_t i = 0; i < count; ++i) {
    noise::Wild wild;
    const Parsed parsed =
        parse_received(messages_[i].msg_hdr, messages_[i].msg_len, wild, kernel_drops);
    if (parsed == Parsed::truncated) {
      counters.udp_truncated += 1;
      continue;
    }
    wild.slot = std::move(slots_[before - 1 - i]);
    count_received(wild, counters);
    inbox.wilds.push_back(std::move(wild));
  }
  // Slots of truncated datagrams stay: close the gaps.
  filled_ = 0;
  for (std::size_t i = 0; i < before; ++i) {
    if (slots_[i]) {
      std::swap(slots_[filled_], slots_[i]);
      filled_ += 1;
    }
  }
}

ReceiveNext UdpReceiver::receive(int fd, std::size_t full, Inbox& inbox, EngineCounters& counters,
                                 std::uint32_t& kernel_drops) noexcept {
  WG_ASSERT(full <= batch_max);
  // Bounded: errors that a socket reports in place of a datagram are used up one by one.
  for (std::size_t tries = 0; tries < 2 * batch_max && inbox.wilds.size() < full; ++tries) {
    const std::size_t wanted = std::min(full - inbox.wilds.size(), filled_);
    if (wanted == 0 && !inbox.wilds.empty()) {
      return ReceiveNext::more;
    }
    const int result = wanted == 0 ? drop_one(fd, counters) : receive_some(fd, wanted);
    switch (-result) {
      case EAGAIN:
        return ReceiveNext::drained;
      case EINTR:
        continue;
      case EBADF:
      case ENOTSOCK:
        return ReceiveNext::fatal;
      default:
        break;
    }
    if (result < 0) {
      counters.receive_errors.add(-result);
    } else if (wanted != 0) {
      const auto count = static_cast<std::size_t>(result);
      accept(count, inbox, counters, kernel_drops);
      if (count < wanted) {
        return ReceiveNext::drained;
      }
    }
  }
  return ReceiveNext::more;
}

}  // namespace wgring::tun

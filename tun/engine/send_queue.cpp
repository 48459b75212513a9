#include "tun/engine/send_queue.hpp"

#include <algorithm>

#include <errno.h>

namespace wgring::tun {
namespace {

bool is_train(const noise::Transmit& transmit) noexcept {
  return transmit.slot.bytes().size() > packet_slot_bytes;
}

// The kernel no longer has this source address, or no way from it to there (protocol 17).
bool blames_source(int errno_value) noexcept {
  switch (errno_value) {
    case EINVAL:
    case EADDRNOTAVAIL:
    case ENETUNREACH:
    case ENODEV:
      return true;
    default:
      return false;
  }
}

// These say something about one datagram or one moment; others hold for the whole train.
bool spares_rest_of_train(int errno_value) noexcept {
  return errno_value == EMSGSIZE || errno_value == ENOBUFS || errno_value == ENOMEM;
}

}  // namespace

bool SendQueue::has_room_for(const noise::Transmit& transmit) const noexcept {
  return is_train(transmit) ? trains_ < trains_max : size_ - trains_ < packets_max;
}

void SendQueue::push(noise::Transmit&& transmit) noexcept {
  WG_ASSERT(has_room_for(transmit) && transmit.segment_count > 0);
  trains_ += is_train(transmit) ? 1U : 0U;
  at(size_) = std::move(transmit);
  size_ += 1;
}

void SendQueue::describe(SendBatch& batch) const noexcept {
  batch.size = 0;
  std::uint32_t segment = head_segment_;
  for (std::size_t i = 0; i < size_ && batch.size < SendBatch::messages_max; ++i, segment = 0) {
    const noise::Transmit& train = at(i);
    NativeAddress& name = batch.names[batch.size];
    SendControl& control = batch.controls[batch.size];
    to_native(train.endpoint.remote, name);
    build_control(train.endpoint, train.traffic_class, control);
    std::uint8_t* const data = train.slot.data();
    for (; segment < train.segment_count && batch.size < SendBatch::messages_max; ++segment) {
      const std::size_t offset = std::size_t{segment} * train.stride_bytes;
      WG_ASSERT(offset < train.bytes);
      iovec& payload = batch.payloads[batch.size];
      payload.iov_base = data + offset;
      payload.iov_len =
          segment + 1U == train.segment_count ? train.bytes - offset : train.stride_bytes;
      mmsghdr& message = batch.messages[batch.size];
      message = {};
      message.msg_hdr.msg_name = &name.v6;
      message.msg_hdr.msg_namelen = name.bytes;
      message.msg_hdr.msg_iov = &payload;
      message.msg_hdr.msg_iovlen = 1;
      message.msg_hdr.msg_control = control.bytes == 0 ? nullptr : control.data.data();
      message.msg_hdr.msg_controllen = control.bytes;
      batch.size += 1;
    }
  }
}

void SendQueue::advance(std::size_t count) noexcept {
  while (count > 0) {
    WG_ASSERT(size_ > 0);
    const std::size_t left = at(0).segment_count - head_segment_;
    if (count < left) {
      head_segment_ += static_cast<std::uint32_t>(count);
      return;
    }
    count -= left;
    pop();
  }
}

SendNext SendQueue::settle_failure(int errno_value, EngineCounters& counters) noexcept {
  WG_ASSERT(size_ > 0);
  noise::Transmit& head = at(0);
  switch (errno_value) {
    case EINTR:
      return SendNext::again;
    case EAGAIN:
      counters.send_waits += 1;
      return SendNext::wait;
    case EBADF:
    case ENOTSOCK:
      return SendNext::fatal;
    default:
      break;
  }
  if (head.endpoint.source.ip.family != noise::Family::none && blames_source(errno_value)) {
    head.endpoint.source = {};
    counters.sources_refused += 1;
    return SendNext::again;
  }
  if (spares_rest_of_train(errno_value)) {
    counters.send_errors.add(errno_value);
    advance(1);
  } else {
    counters.send_errors.add(errno_value, head.segment_count - head_segment_);
    pop();
  }
  return SendNext::again;
}

std::uint64_t SendQueue::clear() noexcept {
  std::uint64_t datagrams = 0;
  while (size_ > 0) {
    datagrams += at(0).segment_count - head_segment_;
    pop();
  }
  return datagrams;
}

void SendQueue::pop() noexcept {
  trains_ -= is_train(at(0)) ? 1U : 0U;
  at(0) = noise::Transmit{};
  head_ = (head_ + 1) & (capacity - 1);
  size_ -= 1;
  head_segment_ = 0;
}

}  // namespace wgring::tun

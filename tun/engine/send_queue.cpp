#include "tun/engine/send_queue.hpp"

#include <algorithm>
#include <utility>

#include <errno.h>

#include "tun/clock.hpp"

namespace wgring::tun {
namespace {

bool is_train(const noise::Transmit& transmit) noexcept {
  return transmit.slot.bytes().size() > packet_slot_bytes;
}

// The kernel no longer has this source address, or no way from it to there (protocol 17).
void note(const noise::LocalSource& source, RefusedSources& refused) noexcept {
  if (refused.room() > 0 && std::ranges::find(refused, source) == refused.end()) {
    refused.push_back(source);
  }
}

// These say something about one datagram or one moment; others hold for the whole train.
bool spares_rest_of_train(int errno_value) noexcept {
  return errno_value == EMSGSIZE || errno_value == ENOBUFS || errno_value == ENOMEM;
}

}  // namespace

std::size_t count_sent(const SendBatch& batch, std::size_t messages,
                       EngineCounters& counters) noexcept {
  std::size_t all = 0;
  for (std::size_t i = 0; i < messages; ++i) {
    all += batch.datagrams[i];
    counters.trains_sent += batch.datagrams[i] > 1 ? 1U : 0U;
  }
  counters.udp_sent += all;
  return all;
}

void SendQueue::restart(Segmentation segmentation) noexcept {
  segmentation_ = segmentation;
  message_segments_max_ = noise::train_segments_max;
  refused_ = {};
  suspect_ = {};
}

bool SendQueue::has_room_for(const noise::Transmit& transmit) const noexcept {
  return is_train(transmit) ? trains_ < trains_max : size_ - trains_ < packets_max;
}

void SendQueue::push(noise::Transmit&& transmit) noexcept {
  WG_ASSERT(has_room_for(transmit) && transmit.segment_count > 0);
  trains_ += is_train(transmit) ? 1U : 0U;
  const noise::IpAddress& to = transmit.endpoint.remote.ip;
  const bool whole = segmentation_ == Segmentation::on && transmit.segment_count > 1 &&
                     (refused_.empty() || !refused_.contains(to, read_clock().boottime));
  at(size_) = Entry{.train = std::move(transmit), .plain = !whole};
  size_ += 1;
}

std::uint32_t SendQueue::message_segments(const Entry& entry,
                                          std::uint32_t segment) const noexcept {
  const std::uint32_t left = entry.train.segment_count - segment;
  return entry.plain ? 1 : std::min(left, message_segments_max_);
}

void SendQueue::describe(SendBatch& batch) const noexcept {
  batch.size = 0;
  std::uint32_t segment = head_segment_;
  for (std::size_t i = 0; i < size_ && batch.size < SendBatch::messages_max; ++i, segment = 0) {
    const Entry& entry = at(i);
    const noise::Transmit& train = entry.train;
    NativeAddress& name = batch.names[batch.size];
    to_native(train.endpoint.remote, name);
    std::uint8_t* const data = train.slot.data();
    std::uint32_t control_for = 0;  // how many datagrams the last control was made for
    std::size_t control_at = batch.size;
    while (segment < train.segment_count && batch.size < SendBatch::messages_max) {
      const std::uint32_t count = message_segments(entry, segment);
      if (control_for == 0 || (control_for > 1) != (count > 1)) {
        // Some kernels drop or refuse a single datagram that asks to be cut.
        const auto cut = static_cast<std::uint16_t>(count > 1 ? train.stride_bytes : 0);
        control_at = batch.size;
        build_control(train.endpoint, train.traffic_class, cut, batch.controls[control_at]);
      }
      control_for = count;
      SendControl& control = batch.controls[control_at];
      const std::size_t offset = std::size_t{segment} * train.stride_bytes;
      WG_ASSERT(offset < train.bytes);
      iovec& payload = batch.payloads[batch.size];
      payload.iov_base = data + offset;
      payload.iov_len =
          std::min<std::size_t>(train.bytes - offset, std::size_t{count} * train.stride_bytes);
      mmsghdr& message = batch.messages[batch.size];
      message = {};
      message.msg_hdr.msg_name = &name.v6;
      message.msg_hdr.msg_namelen = name.bytes;
      message.msg_hdr.msg_iov = &payload;
      message.msg_hdr.msg_iovlen = 1;
      message.msg_hdr.msg_control = control.bytes == 0 ? nullptr : control.data.data();
      message.msg_hdr.msg_controllen = control.bytes;
      batch.datagrams[batch.size] = static_cast<std::uint16_t>(count);
      batch.size += 1;
      segment += count;
    }
  }
}

void SendQueue::advance(std::size_t datagrams, RefusedSources& refused) noexcept {
  if (datagrams > 0 && suspect_.ip.family != noise::Family::none) {
    note(std::exchange(suspect_, {}), refused);
  }
  while (datagrams > 0) {
    WG_ASSERT(size_ > 0);
    const std::size_t left = at(0).train.segment_count - head_segment_;
    if (datagrams < left) {
      head_segment_ += static_cast<std::uint32_t>(datagrams);
      return;
    }
    datagrams -= left;
    pop();
  }
}

// The message at the head was a whole run: is it the run that the kernel does not like?
bool SendQueue::refuses_segmentation(int errno_value, EngineCounters& counters) noexcept {
  Entry& head = at(0);
  const std::uint32_t segments = message_segments(head, head_segment_);
  // EIO: no checksum offload on the way out. EINVAL, EMSGSIZE: a segment is longer than the path.
  const bool about_runs = errno_value == EIO || errno_value == EINVAL || errno_value == EMSGSIZE ||
                          errno_value == EOPNOTSUPP;
  if (head.plain || segments == 1 || !about_runs) {
    return false;
  }
  counters.segmentation_refused += 1;
  if (errno_value == EINVAL && segments == noise::train_segments_max) {
    // Before 5.4.273 the headers count towards the limit: one segment fewer fits.
    message_segments_max_ = segments - 1;
    return true;
  }
  if (segments == noise::train_segments_max - 1) {
    message_segments_max_ = noise::train_segments_max;  // it was not that they were so many
  }
  head.plain = true;
  refused_.add(head.train.endpoint.remote.ip, read_clock().boottime);
  for (std::size_t i = 1; i < size_; ++i) {
    at(i).plain = at(i).plain || at(i).train.endpoint.remote.ip == head.train.endpoint.remote.ip;
  }
  return true;
}

SendNext SendQueue::settle_failure(int errno_value, EngineCounters& counters,
                                   RefusedSources& refused) noexcept {
  WG_ASSERT(size_ > 0);
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
  if (refuses_segmentation(errno_value, counters)) {
    return SendNext::again;
  }
  noise::Transmit& head = at(0).train;
  if (head.endpoint.source.ip.family != noise::Family::none && blames_source(errno_value)) {
    // It was the source, and not the run, that was refused before.
    refused_.forget(head.endpoint.remote.ip);
    message_segments_max_ = noise::train_segments_max;
    // No way there says nothing of the address: others are still spoken to at it. Nor does any
    // refusal that is the same without it: a peer may have any address for its endpoint.
    suspect_ = errno_value != ENETUNREACH ? head.endpoint.source : noise::LocalSource{};
    head.endpoint.source = {};
    counters.sources_refused += 1;
    return SendNext::again;
  }
  if (spares_rest_of_train(errno_value)) {
    const std::uint32_t lost = message_segments(at(0), head_segment_);
    counters.send_errors.add(errno_value, lost);
    suspect_ = {};
    advance(lost, refused);
  } else {
    counters.send_errors.add(errno_value, head.segment_count - head_segment_);
    pop();
  }
  return SendNext::again;
}

std::uint64_t SendQueue::clear() noexcept {
  std::uint64_t datagrams = 0;
  while (size_ > 0) {
    datagrams += at(0).train.segment_count - head_segment_;
    pop();
  }
  return datagrams;
}

void SendQueue::pop() noexcept {
  trains_ -= is_train(at(0).train) ? 1U : 0U;
  at(0) = Entry{};
  suspect_ = {};
  head_ = (head_ + 1) & (capacity - 1);
  size_ -= 1;
  head_segment_ = 0;
}

}  // namespace wgring::tun

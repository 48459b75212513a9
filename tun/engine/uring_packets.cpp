// What the uring engine does with packets: out by chains and writes, in by doorbells and batches.
#include <utility>

#include <errno.h>
#include <poll.h>

#include "tun/clock.hpp"
#include "tun/engine/system_calls.hpp"
#include "tun/engine/uring_engine.hpp"

namespace wgring::tun {
namespace {

// Not an error of the operation: it was taken back, or is to be tried again.
bool is_retry(int result) noexcept {
  return result == -ECANCELED || result == -EAGAIN || result == -EINTR;
}

// Writes of a delivery are told apart by number.
constexpr std::size_t write_numbers_max = std::size_t{1} << 12U;
static_assert(write_numbers_max >= noise::Outbox::inners_max);

}  // namespace

// --- out ---

void UringEngine::enqueue(noise::Transmit& transmit) noexcept {
  Socket& socket = sockets_[transmit.endpoint.remote.ip.family == noise::Family::v4 ? 0 : 1];
  if (socket.fd < 0) {
    counters_.udp_no_socket += transmit.segment_count;
    return;
  }
  while (!socket.queue.has_room_for(transmit)) {
    pump(socket);
    if (!socket.chain.in_flight) {
      counters_.udp_backlog_full += transmit.segment_count;
      return;
    }
    finish_chains();
  }
  socket.queue.push(std::move(transmit));
}

void UringEngine::pump(Socket& socket) noexcept {
  if (socket.chain.in_flight || socket.full || socket.closing || socket.queue.empty()) {
    return;
  }
  Chain& chain = socket.chain;
  socket.queue.describe(chain.batch);
  // A submission in the middle of a chain would end it there.
  if (::io_uring_sq_space_left(&ring_) < chain.batch.size) {
    enter(0);
  }
  chain.completed = 0;
  chain.in_flight = true;
  chain.generation += 1;
  const std::size_t first = family_of(socket) * SendBatch::messages_max;
  for (std::size_t i = 0; i < chain.batch.size; ++i) {
    io_uring_sqe* const entry = next_entry();
    ::io_uring_prep_sendmsg(entry, socket.fd, &chain.batch.messages[i].msg_hdr,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
    label(entry, Kind::send, first + i, chain.generation);
    if (i + 1 < chain.batch.size) {
      entry->flags |= IOSQE_IO_LINK;
    }
  }
}

// A chain never waits for its socket, so this is one call of the kernel for each. Without it the
// links of a chain would go one by one, with a turn between them.
void UringEngine::finish_chains() noexcept {
  for (;;) {
    std::size_t left = 0;
    for (const Socket& socket : sockets_) {
      left += socket.chain.in_flight ? socket.chain.batch.size - socket.chain.completed : 0;
    }
    if (left == 0 || broken_) {
      return;
    }
    enter(static_cast<unsigned>(left));
    process();
  }
}

void UringEngine::complete_send(std::size_t index, std::uint32_t generation, int result) noexcept {
  Socket& socket = sockets_[index / SendBatch::messages_max];
  Chain& chain = socket.chain;
  WG_ASSERT(chain.in_flight && chain.generation == generation);
  chain.results[index % SendBatch::messages_max] = result;
  chain.completed += 1;
  if (chain.completed == chain.batch.size) {
    chain.in_flight = false;
    settle_chain(socket);
    pump(socket);
  }
}

void UringEngine::settle_chain(Socket& socket) noexcept {
  const Chain& chain = socket.chain;
  std::size_t sent = 0;
  while (sent < chain.batch.size && chain.results[sent] >= 0) {
    sent += 1;
  }
  socket.queue.advance(count_sent(chain.batch, sent, counters_));
  if (sent == chain.batch.size) {
    return;
  }
  const int error = -chain.results[sent];
  const std::uint64_t refused_before = counters_.sources_refused;
  // A chain that was taken back as a whole is tried again.
  switch (socket.queue.settle_failure(error == ECANCELED ? EINTR : error, counters_)) {
    case SendNext::again:
      break;
    case SendNext::wait:
      arm_writable(socket);
      break;
    case SendNext::fatal:
      notes_.set_fatal(error, "io_uring SENDMSG: the UDP socket is unusable");
      counters_.udp_no_socket += socket.queue.clear();
      break;
  }
  notes_.sources_refused |= counters_.sources_refused != refused_before;
}

void UringEngine::arm_writable(Socket& socket) noexcept {
  if (socket.closing) {
    return;  // the next pair starts afresh
  }
  socket.full = true;
  io_uring_sqe* const entry = next_entry();
  ::io_uring_prep_poll_add(entry, socket.fd, POLLOUT);
  start(socket.writable, entry, Kind::writable, family_of(socket));
}

void UringEngine::deliver(noise::Outbox& outbox) noexcept {
  Delivery& delivery = deliveries_[next_delivery_];
  next_delivery_ = (next_delivery_ + 1) % deliveries_max;
  while (delivery.left != 0) {
    enter(0);
    process();
  }
  delivery.plan.build(
      outbox, setup_.vnet,
      gate_.shut() ? gate_.policy(setup_.join, read_clock().boottime) : setup_.join);
  for (noise::Deliver& run : outbox.delivers) {
    delivery.slots.push_back(std::move(run.slot));
  }
  delivery.left = delivery.plan.size();
  delivery.generation += 1;
  for (std::size_t i = 0; i < delivery.plan.size(); ++i) {
    prepare_write(delivery, i);
  }
}

void UringEngine::prepare_write(Delivery& delivery, std::size_t number) noexcept {
  const std::span<const iovec> pieces = delivery.plan.pieces(delivery.plan[number]);
  io_uring_sqe* const entry = next_entry();
  if (pieces.size() == 1) {
    ::io_uring_prep_write(entry, setup_.tun_fd, pieces[0].iov_base,
                          static_cast<unsigned>(pieces[0].iov_len), 0);
  } else {
    ::io_uring_prep_writev(entry, setup_.tun_fd, pieces.data(),
                           static_cast<unsigned>(pieces.size()), 0);
  }
  const auto which = static_cast<std::size_t>(&delivery - deliveries_.data());
  label(entry, Kind::write, which * write_numbers_max + number, delivery.generation);
}

void UringEngine::complete_write(std::size_t index, std::uint32_t generation, int result) noexcept {
  Delivery& delivery = deliveries_[index / write_numbers_max];
  WG_ASSERT(delivery.left > 0 && delivery.generation == generation);
  const WritePlan::Write& write = delivery.plan[index % write_numbers_max];
  if (write.packets > 1 && refuses_joining(result)) {
    write_alone(delivery, write);
  } else {
    settle_write(result, write.packets);
  }
  delivery.left -= 1;
  if (delivery.left == 0) {
    delivery.slots.clear();
    delivery.plan.clear();
  }
}

// Directly, and so behind what the ring had to write: rare, JoinGate sees to that.
void UringEngine::write_alone(Delivery& delivery, const WritePlan::Write& write) noexcept {
  counters_.joining_refused += 1;
  gate_.refused(read_clock().boottime);
  delivery.plan.unjoin(write, [&](const iovec& packet) {
    settle_write(tun_ended_ ? -EBADFD : write_packet(setup_.tun_fd, {&packet, 1}), 1);
  });
}

void UringEngine::settle_write(long result, std::uint32_t packets) noexcept {
  if (settle_tun_write(result, packets, counters_)) {
    end_tun();
  }
}

// --- in ---

void UringEngine::arm_tun() noexcept {
  if (tun_.in_flight || tun_.done || tun_more_ || tun_ended_) {
    return;
  }
  io_uring_sqe* const entry = next_entry();
  if (tun_polled_) {
    ::io_uring_prep_poll_add(entry, setup_.tun_fd, POLLIN);
  } else {
    const MutableBytes room = reader_.next_room();
    ::io_uring_prep_read(entry, setup_.tun_fd, room.data(), static_cast<unsigned>(room.size()), 0);
  }
  start(tun_, entry, Kind::tun, 0);
}

void UringEngine::arm_receive(std::size_t family) noexcept {
  Socket& socket = sockets_[family];
  Receive& receive = socket.receive;
  if (socket.fd < 0 || receive.operation.in_flight || receive.operation.done || receive.more) {
    return;
  }
  if (!receive.slot) {
    receive.slot = setup_.trains->take();
  }
  // Without a slot the datagram is cut to nothing, and counted when it comes.
  prepare_receive(receive.frame, receive.slot ? receive.slot.bytes() : MutableBytes{},
                  receive.header);
  io_uring_sqe* const entry = next_entry();
  ::io_uring_prep_recvmsg(entry, socket.fd, &receive.header, 0);
  start(receive.operation, entry, Kind::receive, family);
}

void UringEngine::reap_tun(Inbox& inbox) noexcept {
  if (std::exchange(tun_.done, false)) {
    if (tun_polled_) {
      tun_more_ = true;
    } else if (tun_.result >= 0) {
      reader_.accept(static_cast<std::size_t>(tun_.result), inbox, counters_);
      tun_more_ = true;
    } else if (tun_.result == -EAGAIN) {
      tun_polled_ = true;
    } else if (tun_.result == -EBADFD) {
      end_tun();
    } else if (!is_retry(tun_.result)) {
      counters_.tun_errors.add(-tun_.result);
      // What lasts is seen by the read below, which can tell.
      tun_more_ = true;
    }
  }
  if (!tun_more_ || tun_ended_) {
    return;
  }
  switch (reader_.read(setup_.tun_fd, inbox, counters_)) {
    case TunNext::more:
      break;
    case TunNext::drained:
      tun_more_ = false;
      break;
    case TunNext::gone:
      end_tun();
      break;
    case TunNext::fatal:
      end_tun();
      notes_.set_fatal(EBADF, "read: the TUN descriptor is unusable");
      break;
  }
}

void UringEngine::reap_socket(Socket& socket, Inbox& inbox) noexcept {
  if (inbox.wilds.room() == 0) {
    return;
  }
  if (std::exchange(socket.receive.operation.done, false)) {
    take_first(socket, inbox);
  }
  if (!socket.receive.more || inbox.wilds.room() == 0) {
    return;
  }
  switch (receiver_.receive(socket.fd, inbox, counters_, socket.kernel_drops)) {
    case ReceiveNext::more:
      break;
    case ReceiveNext::drained:
      socket.receive.more = false;
      break;
    case ReceiveNext::fatal:
      socket.receive.more = false;
      notes_.set_fatal(EBADF, "recvmmsg: the UDP socket is unusable");
      break;
  }
}

// The datagram that the doorbell brought. It may be of a socket that has been replaced since.
void UringEngine::take_first(Socket& socket, Inbox& inbox) noexcept {
  Receive& receive = socket.receive;
  const int result = receive.operation.result;
  receive.more = socket.fd >= 0 && result != -ECANCELED;
  if (result < 0) {
    if (!is_retry(result)) {
      counters_.receive_errors.add(-result);
    }
    return;
  }
  noise::Wild wild;
  const std::uint32_t drops_before = socket.kernel_drops;
  const Parsed parsed =
      parse_received(receive.header, static_cast<std::size_t>(result), wild, socket.kernel_drops);
  count_kernel_drops(drops_before, socket.kernel_drops, counters_);
  if (!receive.slot) {
    counters_.udp_no_buffer += 1;
  } else if (parsed == Parsed::truncated) {
    counters_.udp_truncated += 1;
  } else {
    wild.slot = std::move(receive.slot);
    count_received(wild, counters_);
    inbox.wilds.push_back(std::move(wild));
  }
  if (socket.fd < 0) {
    receive.slot.reset();
  }
}

void UringEngine::end_tun() noexcept {
  if (!std::exchange(tun_ended_, true)) {
    notes_.tun_gone = true;
  }
  tun_more_ = false;
}

}  // namespace wgring::tun

// What the uring engine does with packets: out as effects, in by doorbells and batches.
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

}  // namespace

// --- out ---

// Every entry has been taken when enter() returns, so every effect is done or has failed. Nothing
// in process() may add one: it would be taken for done.
void UringEngine::flush(unsigned wait_for) noexcept {
  enter(wait_for);
  process();
  // Nothing for a call means that nothing waits: the kernel sets the flag after it has put work on
  // its list, which may have been done in between. Other operations are fewer than it does at once.
  for (bool some = true; some && !broken_ && failures_wait();) {
    enter(0);
    some = process() > 0;
  }
  settle_effects();
}

// Failures of writes complete by task work, of which newer kernels do 20 pieces per enter().
bool UringEngine::failures_wait() const noexcept {
  return (IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_TASKRUN) != 0;
}

void UringEngine::settle_effects() noexcept {
  if (broken_) {
    return;
  }
  counters_.tun_written += std::exchange(delivery_.packets, 0);
  counters_.super_packets_written += std::exchange(delivery_.super_packets, 0);
  delivery_.slots.clear();
  delivery_.plan.clear();
  for (Socket& socket : sockets_) {
    if (std::exchange(socket.head_in_ring, false)) {
      settle_send(socket, socket.head_result < 0 ? socket.head_result : 1);
    }
    pump(socket);
  }
}

void UringEngine::enqueue(noise::Transmit& transmit) noexcept {
  Socket& socket = sockets_[transmit.endpoint.remote.ip.family == noise::Family::v4 ? 0 : 1];
  if (socket.fd < 0) {
    counters_.udp_no_socket += transmit.segment_count;
    return;
  }
  if (!socket.queue.has_room_for(transmit)) {
    pump(socket);
  }
  if (!socket.queue.has_room_for(transmit)) {
    counters_.udp_backlog_full += transmit.segment_count;
    return;
  }
  socket.queue.push(std::move(transmit));
}

void UringEngine::pump(Socket& socket) noexcept {
  if (socket.head_in_ring && socket.queue.size() > 1) {
    flush(0);
  }
  while (!socket.queue.empty() && !socket.head_in_ring && !socket.full && !socket.closing &&
         !broken_) {
    socket.queue.describe(socket.batch);
    if (quiet_ && sends_by_ring_ && socket.batch.size == 1) {
      return send_by_ring(socket);
    }
    settle_send(socket, send_messages(socket.fd,
                                      std::span{socket.batch.messages}.first(socket.batch.size)));
  }
}

void UringEngine::send_by_ring(Socket& socket) noexcept {
  io_uring_sqe* const entry = next_entry();
  ::io_uring_prep_sendmsg(entry, socket.fd, &socket.batch.messages[0].msg_hdr,
                          MSG_DONTWAIT | MSG_NOSIGNAL);
  entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
  label(entry, Kind::send, family_of(socket), 0);
  socket.head_in_ring = true;
  socket.head_result = 0;
}

// `result`: how many messages of the batch the kernel took, or a negative errno.
void UringEngine::settle_send(Socket& socket, int result) noexcept {
  if (result > 0) {
    socket.queue.advance(count_sent(socket.batch, static_cast<std::size_t>(result), counters_),
                         notes_.refused);
    return;
  }
  switch (socket.queue.settle_failure(-result, counters_, notes_.refused)) {
    case SendNext::again:
      break;
    case SendNext::wait:
      arm_writable(socket);
      break;
    case SendNext::fatal:
      notes_.set_fatal(-result, "sendmsg: the UDP socket is unusable");
      counters_.udp_no_socket += socket.queue.clear();
      break;
  }
}

void UringEngine::arm_writable(Socket& socket) noexcept {
  socket.full = true;
  if (socket.closing) {
    return;  // the next pair starts afresh
  }
  io_uring_sqe* const entry = next_entry();
  ::io_uring_prep_poll_add(entry, socket.fd, POLLOUT);
  start(socket.writable, entry, Kind::writable, family_of(socket));
}

void UringEngine::deliver(noise::Outbox& outbox) noexcept {
  if (!delivery_.slots.empty()) {
    flush(0);
  }
  WritePlan& plan = delivery_.plan;
  plan.build(outbox, setup_.vnet,
             gate_.shut() ? gate_.policy(setup_.join, read_clock().boottime) : setup_.join);
  for (noise::Deliver& run : outbox.delivers) {
    delivery_.slots.push_back(std::move(run.slot));
  }
  delivery_.generation += 1;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    if (writes_by_ring_) {
      prepare_write(i);
    } else {
      write_directly(plan[i]);
    }
  }
}

void UringEngine::prepare_write(std::size_t number) noexcept {
  const WritePlan::Write& write = delivery_.plan[number];
  const std::span<const iovec> pieces = delivery_.plan.pieces(write);
  io_uring_sqe* const entry = next_entry();
  if (pieces.size() == 1) {
    ::io_uring_prep_write(entry, setup_.tun_fd, pieces[0].iov_base,
                          static_cast<unsigned>(pieces[0].iov_len), 0);
  } else {
    ::io_uring_prep_writev(entry, setup_.tun_fd, pieces.data(),
                           static_cast<unsigned>(pieces.size()), 0);
  }
  // What cannot be done at once fails: this is what makes a return from enter() an answer.
  entry->rw_flags = RWF_NOWAIT;
  name_tun(entry);
  entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
  label(entry, Kind::write, number, delivery_.generation);
  delivery_.packets += write.packets;
  delivery_.super_packets += write.packets > 1 ? 1U : 0U;
}

// A write that failed.
void UringEngine::complete_write(std::size_t number, std::uint32_t generation,
                                 int result) noexcept {
  if (delivery_.generation != generation || number >= delivery_.plan.size()) {
    return settle_write(result, 1);  // later than any kernel that we know of tells it
  }
  const WritePlan::Write& write = delivery_.plan[number];
  delivery_.packets -= write.packets;
  delivery_.super_packets -= write.packets > 1 ? 1U : 0U;
  if (result == -EOPNOTSUPP) {
    // Before 6.4 the ring does not know that TUN can be told not to wait.
    writes_by_ring_ = false;
    write_directly(write);
  } else if (write.packets > 1 && refuses_joining(result)) {
    write_alone(write);
  } else {
    settle_write(result, write.packets);
  }
}

void UringEngine::write_directly(const WritePlan::Write& write) noexcept {
  const long result = write_pieces(delivery_.plan.pieces(write));
  if (write.packets > 1 && refuses_joining(result)) {
    write_alone(write);
  } else {
    settle_write(result, write.packets);
  }
}

// Directly, and so behind what the ring had to write: rare, JoinGate sees to that.
void UringEngine::write_alone(const WritePlan::Write& write) noexcept {
  counters_.joining_refused += 1;
  gate_.refused(read_clock().boottime);
  delivery_.plan.unjoin(write,
                        [&](const iovec& packet) { settle_write(write_pieces({&packet, 1}), 1); });
}

long UringEngine::write_pieces(std::span<const iovec> pieces) noexcept {
  return tun_ended_ ? -EBADFD : write_packet(setup_.tun_fd, pieces);
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
  name_tun(entry);
  start(tun_, entry, Kind::tun, 0);
}

void UringEngine::name_tun(io_uring_sqe* entry) const noexcept {
  if (tun_registered_) {
    entry->fd = 0;
    entry->flags |= IOSQE_FIXED_FILE;
  }
}

void UringEngine::arm_receive(std::size_t family) noexcept {
  Socket& socket = sockets_[family];
  Receive& receive = socket.receive;
  if (socket.fd < 0 || receive.operation.in_flight || receive.more) {
    return;
  }
  io_uring_sqe* const entry = next_entry();
  if (!receive_ring_.is_open() || receive_ring_.empty() || receive.barren) {
    ::io_uring_prep_poll_add(entry, socket.fd, POLLIN);
    receive.barren = false;
  } else {
    receive_ring_.prepare(entry, socket.fd);
    receive.barren = true;
  }
  start(receive.operation, entry, Kind::receive, family);
}

void UringEngine::complete_receive(Socket& socket, const io_uring_cqe& completion) noexcept {
  Receive& receive = socket.receive;
  WG_ASSERT(receive.operation.in_flight);
  receive.operation.in_flight = (completion.flags & IORING_CQE_F_MORE) != 0;
  if ((completion.flags & IORING_CQE_F_BUFFER) != 0) {
    const unsigned id = completion.flags >> IORING_CQE_BUFFER_SHIFT;
    if (completion.res < 0) {
      receive_ring_.take(id).reset();
    } else {
      receive.arrived.push_back(static_cast<std::uint8_t>(id));
      receive.barren = false;
      receive.more = receive.more || !receive.operation.in_flight;  // an empty one ended it
      return;
    }
  }
  switch (completion.res) {
    case -ECANCELED:
    case -EAGAIN:
    case -EINTR:
      return;
    case -ENOBUFS:
      counters_.receive_ring_empty += 1;
      break;
    default:
      if (completion.res < 0) {
        counters_.receive_errors.add(-completion.res);
      }
      break;
  }
  receive.more = true;
}

void UringEngine::reap_tun(Inbox& inbox) noexcept {
  if (std::exchange(tun_.done, false)) {
    if (tun_polled_) {
      if (tun_.result < 0 && !is_retry(tun_.result)) {
        counters_.tun_errors.add(-tun_.result);
      }
      tun_more_ = true;
    } else if (tun_.result >= 0) {
      reader_.accept(static_cast<std::size_t>(tun_.result), inbox, counters_);
      tun_more_ = lone_packets_ == 0;
      lone_packets_ -= tun_more_ ? 0U : 1U;
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
  tun_more_ = tun_more_ && !tun_ended_;
  if (!tun_more_) {
    return;
  }
  const std::size_t brought = inbox.plains.size();
  switch (reader_.read(setup_.tun_fd, inbox, counters_)) {
    case TunNext::more:
      break;
    case TunNext::drained:
      tun_more_ = false;
      lone_packets_ = inbox.plains.size() == brought ? lone_packets_max : 0;
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

// Before anything is read directly: these came first.
void UringEngine::take_arrived(Socket& socket, Inbox& inbox) noexcept {
  Receive& receive = socket.receive;
  for (std::size_t i = 0; i < receive.arrived.size(); ++i) {
    Slot slot = receive_ring_.take(receive.arrived[i]);
    noise::Wild wild;
    std::uint32_t& drops = i < receive.stale ? receive.stale_drops : socket.kernel_drops;
    const std::uint32_t drops_before = drops;
    const Parsed parsed = receive_ring_.parse(slot, wild, drops);
    count_kernel_drops(drops_before, drops, counters_.udp_kernel_dropped);
    if (parsed == Parsed::truncated) {
      counters_.udp_truncated += 1;
      continue;
    }
    wild.slot = std::move(slot);
    count_received(wild, counters_);
    inbox.wilds.push_back(std::move(wild));
  }
  receive.arrived.clear();
  receive.stale = 0;
}

void UringEngine::receive_more(Socket& socket, Inbox& inbox) noexcept {
  if (!socket.receive.more || inbox.wilds.room() == 0) {
    return;
  }
  const std::uint32_t drops_before = socket.kernel_drops;
  const ReceiveNext next =
      receiver_.receive(socket.fd, inbox.wilds.capacity, inbox, counters_, socket.kernel_drops);
  count_kernel_drops(drops_before, socket.kernel_drops, counters_.udp_kernel_dropped);
  socket.receive.more = next == ReceiveNext::more;
  if (next == ReceiveNext::fatal) {
    notes_.set_fatal(EBADF, "recvmmsg: the UDP socket is unusable");
  }
}

void UringEngine::end_tun() noexcept {
  if (!std::exchange(tun_ended_, true)) {
    notes_.tun_gone = true;
  }
  tun_more_ = false;
}

}  // namespace wgring::tun

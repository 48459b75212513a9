// The verbs of the seam, and the ring. What becomes of packets is in uring_packets.cpp.
#include "tun/engine/uring_engine.hpp"

#include <utility>

#include <errno.h>
#include <poll.h>

#include "tun/wake.hpp"

namespace wgring::tun {
namespace {

constexpr unsigned kind_shift = 56;
constexpr unsigned index_shift = 32;
constexpr std::uint64_t index_mask = 0xff'ffff;

constexpr std::uint64_t pack(unsigned kind, std::size_t index, std::uint32_t generation) noexcept {
  return std::uint64_t{kind} << kind_shift | std::uint64_t{index} << index_shift | generation;
}

}  // namespace

Status UringEngine::open(const EngineSetup& setup) noexcept {
  setup_ = setup;
  if (Status status = open_ring(ring_, form_, size_.entries, size_.completions); !status) {
    return status;
  }
  open_ = true;
  // Saves a lookup per call; an old kernel goes without.
  static_cast<void>(::io_uring_register_ring_fd(&ring_));
  // Likewise per operation. Only TUN: it stays for life, and a registered socket would keep its
  // port for a while after set_sockets().
  tun_registered_ = ::io_uring_register_files(&ring_, &setup.tun_fd, 1) == 0;
  sends_by_ring_ = writes_by_ring_ = (ring_.features & IORING_FEAT_CQE_SKIP) != 0;
  if (form_ == UringForm::full) {
    if (Status status = receive_ring_.open(ring_); !status) {
      return status;
    }
  }
  if (!reader_.open(*setup.trains, setup.vnet)) {
    return fail(ENOMEM, "the pool has no slots for TUN reads");
  }
  return alarm_.open();
}

UringEngine::~UringEngine() {
  if (!open_) {
    return;
  }
  set_sockets(nullptr);
  cancel(tun_, Kind::tun, 0);
  cancel(wake_, Kind::wake, 0);
  cancel(alarm_operation_, Kind::alarm, 0);
  drain(true);
  receive_ring_.close(ring_);
  if (tun_registered_) {
    // At once, not when the kernel has taken the ring apart: the interface ends with its last file.
    static_cast<void>(::io_uring_unregister_files(&ring_));
  }
  ::io_uring_queue_exit(&ring_);
}

void UringEngine::set_sockets(const UdpPair* sockets) noexcept {
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    sockets_[i].closing = true;
    cancel(sockets_[i].receive.operation, Kind::receive, i);
    cancel(sockets_[i].writable, Kind::writable, i);
  }
  drain(false);
  const std::array<int, 2> fds{sockets == nullptr ? -1 : sockets->v4(),
                               sockets == nullptr ? -1 : sockets->v6()};
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    Socket& socket = sockets_[i];
    socket.fd = fds[i];
    socket.full = socket.closing = socket.writable.done = false;
    socket.receive.more = socket.receive.barren = false;
    socket.receive.stale = socket.receive.arrived.size();
    socket.receive.stale_drops = std::exchange(socket.kernel_drops, 0);
    socket.queue.restart(setup_.segmentation);
    if (socket.fd < 0) {
      counters_.udp_no_socket += socket.queue.clear();
    } else {
      pump(socket);
    }
  }
}

void UringEngine::arm() noexcept {
  reader_.restart();
  if (receive_ring_.is_open()) {
    receive_ring_.refill(*setup_.trains);
    receiver_.refill(*setup_.trains, UdpReceiver::batch_max - ReceiveRing::slots_max);
  } else {
    receiver_.refill(*setup_.trains);
  }
  arm_tun();
  arm_receive(0);
  arm_receive(1);
  if (!wake_.in_flight && !wake_.done) {
    io_uring_sqe* const entry = next_entry();
    ::io_uring_prep_poll_add(entry, setup_.wake_fd, POLLIN);
    start(wake_, entry, Kind::wake, 0);
  }
}

void UringEngine::submit(noise::Outbox& outbox) noexcept {
  if (broken_) {
    outbox.clear();  // the shard has yet to hear of it
    return;
  }
  for (noise::Transmit& transmit : outbox.transmits) {
    enqueue(transmit);
  }
  for (Socket& socket : sockets_) {
    pump(socket);
  }
  if (!outbox.delivers.empty()) {
    deliver(outbox);
  }
  outbox.clear();
  if (!quiet_) {
    flush(0);
  }
}

void UringEngine::reap(Inbox& inbox) noexcept {
  if (!std::exchange(fresh_, false)) {
    flush(0);
  }
  reap_tun(inbox);
  for (Socket& socket : sockets_) {
    take_arrived(socket, inbox);
  }
  // Whoever had to wait for room in the last batch comes first in this one.
  v6_first_ = !v6_first_;
  for (const bool v6 : {v6_first_, !v6_first_}) {
    receive_more(sockets_[v6 ? 1 : 0], inbox);
  }
  if (std::exchange(wake_.done, false)) {
    Wake::clear(setup_.wake_fd);
    notes_.woken = true;
  }
  clear_alarm();
  inbox.notes = std::exchange(notes_, Notes{});
  quiet_ = inbox.wilds.size() + inbox.plains.size() <= quiet_packets_max;
}

bool UringEngine::may_sleep() const noexcept {
  if (tun_more_ || tun_.done || wake_.done || notes_.any()) {
    return false;
  }
  for (const Socket& socket : sockets_) {
    if (socket.receive.more || !socket.receive.arrived.empty()) {
      return false;
    }
  }
  return true;
}

void UringEngine::wait(Instant deadline) noexcept {
  clear_alarm();  // it may have come among the effects of the last turn
  alarm_.set(deadline);
  if (deadline != never && !alarm_operation_.in_flight) {
    io_uring_sqe* const entry = next_entry();
    ::io_uring_prep_poll_add(entry, alarm_.fd(), POLLIN);
    start(alarm_operation_, entry, Kind::alarm, 0);
  }
  flush(may_sleep() ? 1 : 0);  // making room for the poll may have found something
  fresh_ = true;
}

void UringEngine::clear_alarm() noexcept {
  if (std::exchange(alarm_operation_.done, false)) {
    alarm_.clear();
  }
}

// --- ring ---

io_uring_sqe* UringEngine::next_entry() noexcept {
  io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
  if (entry == nullptr) {
    enter(0);
    entry = ::io_uring_get_sqe(&ring_);
  }
  if (broken_) {
    return &ring_.sq.sqes[0];  // nothing is submitted any more
  }
  WG_ASSERT(entry != nullptr);
  return entry;
}

void UringEngine::label(io_uring_sqe* entry, Kind kind, std::size_t index,
                        std::uint32_t generation) noexcept {
  entry->user_data = pack(static_cast<unsigned>(kind), index, generation);
}

void UringEngine::start(Operation& operation, io_uring_sqe* entry, Kind kind,
                        std::size_t index) noexcept {
  WG_ASSERT(!operation.in_flight && !operation.done);
  operation.in_flight = true;
  operation.generation += 1;
  label(entry, kind, index, operation.generation);
}

void UringEngine::cancel(const Operation& operation, Kind kind, std::size_t index) noexcept {
  if (!operation.in_flight) {
    return;
  }
  io_uring_sqe* const entry = next_entry();
  ::io_uring_prep_cancel64(entry, pack(static_cast<unsigned>(kind), index, operation.generation),
                           0);
  label(entry, Kind::cancel, 0, 0);
  cancels_in_flight_ += 1;
}

// The one system call of the ring. Completions are only copied to the queue here: process() looks.
void UringEngine::enter(unsigned wait_for) noexcept {
  while (!broken_) {
    const int result = wait_for == 0 ? ::io_uring_submit_and_get_events(&ring_)
                                     : ::io_uring_submit_and_wait(&ring_, wait_for);
    switch (result < 0 ? -result : 0) {
      case 0:
      case EINTR:
        break;
      case EAGAIN:
      case EBUSY:
        // The completion queue is full: make room and go on.
        static_cast<void>(process());
        wait_for = 0;
        continue;
      default:
        broken_ = true;
        notes_.set_fatal(-result, "io_uring_enter");
        return;
    }
    if (::io_uring_sq_ready(&ring_) == 0) {
      return;
    }
  }
}

std::uint32_t UringEngine::process() noexcept {
  std::uint32_t count = 0;
  io_uring_cqe* completion = nullptr;
  while (::io_uring_peek_cqe(&ring_, &completion) == 0) {
    // Seen before it is acted upon: acting may enter the ring again.
    const io_uring_cqe seen{
        .user_data = completion->user_data, .res = completion->res, .flags = completion->flags};
    ::io_uring_cqe_seen(&ring_, completion);
    complete(seen);
    count += 1;
  }
  return count;
}

void UringEngine::complete(const io_uring_cqe& completion) noexcept {
  const std::uint64_t user_data = completion.user_data;
  const int result = completion.res;
  const auto generation = static_cast<std::uint32_t>(user_data);
  const std::size_t index = user_data >> index_shift & index_mask;
  switch (static_cast<Kind>(user_data >> kind_shift)) {
    case Kind::tun:
      return finish(tun_, generation, result);
    case Kind::receive:
      WG_ASSERT(sockets_[index].receive.operation.generation == generation);
      return complete_receive(sockets_[index], completion);
    case Kind::wake:
      return finish(wake_, generation, result);
    case Kind::alarm:
      return finish(alarm_operation_, generation, result);
    case Kind::send:
      sockets_[index].head_result = result;
      return;
    case Kind::write:
      return complete_write(index, generation, result);
    case Kind::writable:
      finish(sockets_[index].writable, generation, result);
      if (result < 0 && result != -ECANCELED) {
        counters_.receive_errors.add(-result);  // it is tried
      }
      sockets_[index].writable.done = false;
      sockets_[index].full = false;
      return;
    case Kind::cancel:
      WG_ASSERT(cancels_in_flight_ > 0);
      cancels_in_flight_ -= 1;
      return;
  }
}

void UringEngine::finish(Operation& operation, std::uint32_t generation, int result) noexcept {
  WG_ASSERT(operation.in_flight && operation.generation == generation);
  operation.in_flight = false;
  operation.done = true;
  operation.result = result;
}

std::size_t UringEngine::in_flight(bool all) const noexcept {
  std::size_t count = cancels_in_flight_;
  for (const Socket& socket : sockets_) {
    count += (socket.receive.operation.in_flight ? 1U : 0U) +
             (socket.writable.in_flight ? 1U : 0U) + (socket.head_in_ring ? 1U : 0U);
  }
  if (all) {
    count += (tun_.in_flight ? 1U : 0U) + (wake_.in_flight ? 1U : 0U) +
             (alarm_operation_.in_flight ? 1U : 0U) + delivery_.slots.size();
  }
  return count;
}

// Until nothing of the sockets, or nothing at all, is in the ring. Everything that is waited for
// has been cancelled or never waits, so this ends. A broken ring takes nothing back and brings
// nothing more: the slots of its reads stay as they are, in the engine, until that ends.
void UringEngine::drain(bool all) noexcept {
  flush(0);
  while (in_flight(all) > 0 && !broken_) {
    flush(1);
  }
}

}  // namespace wgring::tun

#include "tun/engine/uring_engine.hpp"

#include <utility>

#include <errno.h>
#include <poll.h>

#include "tun/engine/uring_setup.hpp"
#include "tun/wake.hpp"

namespace wgring::tun {
namespace {

// A whole turn: chains of both families, one write per packet of a batch, doorbells.
constexpr unsigned ring_entries = 512;
constexpr unsigned ring_completions = 2048;
static_assert(ring_entries >= 2 * SendBatch::messages_max + noise::wild_batch_max + 16);

constexpr unsigned kind_shift = 56;
constexpr unsigned index_shift = 32;
constexpr std::uint64_t index_mask = 0xff'ffff;

constexpr std::uint64_t pack(unsigned kind, std::size_t index, std::uint32_t generation) noexcept {
  return std::uint64_t{kind} << kind_shift | std::uint64_t{index} << index_shift | generation;
}

// Not an error of the operation: it was taken back, or is to be tried again.
bool is_retry(int result) noexcept {
  return result == -ECANCELED || result == -EAGAIN || result == -EINTR;
}

}  // namespace

Status UringEngine::open(const EngineSetup& setup) noexcept {
  setup_ = setup;
  if (Status status = open_ring(ring_, ring_entries, ring_completions); !status) {
    return status;
  }
  open_ = true;
  // Saves a lookup per call; an old kernel goes without.
  static_cast<void>(::io_uring_register_ring_fd(&ring_));
  if (!reader_.open(*setup.trains)) {
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
    socket.full = socket.closing = socket.receive.more = socket.writable.done = false;
    socket.kernel_drops = 0;
    if (socket.fd < 0) {
      counters_.udp_no_socket += socket.queue.clear();
      if (!socket.receive.operation.done) {
        socket.receive.slot.reset();
      }
    } else {
      pump(socket);
    }
  }
}

void UringEngine::arm() noexcept {
  reader_.restart();
  receiver_.refill(*setup_.trains);
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
  for (noise::Transmit& transmit : outbox.transmits) {
    enqueue(transmit);
  }
  for (Socket& socket : sockets_) {
    pump(socket);
  }
  for (noise::Deliver& run : outbox.delivers) {
    deliver(run, outbox);
  }
  outbox.clear();
  enter(0);
  process();
  finish_chains();
}

void UringEngine::reap(Inbox& inbox) noexcept {
  if (!std::exchange(fresh_, false)) {
    enter(0);
    process();
  }
  finish_chains();
  reap_tun(inbox);
  // Whoever had to wait for room in the last batch comes first in this one.
  v6_first_ = !v6_first_;
  reap_socket(sockets_[v6_first_ ? 1 : 0], inbox);
  reap_socket(sockets_[v6_first_ ? 0 : 1], inbox);
  if (std::exchange(wake_.done, false)) {
    Wake::clear(setup_.wake_fd);
    notes_.woken = true;
  }
  if (std::exchange(alarm_operation_.done, false)) {
    alarm_.clear();
  }
  inbox.notes = std::exchange(notes_, Notes{});
}

bool UringEngine::may_sleep() const noexcept {
  if (tun_more_ || tun_.done || wake_.done || notes_.any()) {
    return false;
  }
  for (const Socket& socket : sockets_) {
    if (socket.receive.more || socket.receive.operation.done) {
      return false;
    }
  }
  return true;
}

void UringEngine::wait(Instant deadline) noexcept {
  alarm_.set(deadline);
  if (deadline != never && !alarm_operation_.in_flight && !alarm_operation_.done) {
    io_uring_sqe* const entry = next_entry();
    ::io_uring_prep_poll_add(entry, alarm_.fd(), POLLIN);
    start(alarm_operation_, entry, Kind::alarm, 0);
  }
  enter(1);
  process();
  fresh_ = true;
}

// --- ring ---

io_uring_sqe* UringEngine::next_entry() noexcept {
  io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
  if (entry == nullptr) {
    enter(0);
    entry = ::io_uring_get_sqe(&ring_);
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
  for (;;) {
    const int result = wait_for == 0 ? ::io_uring_submit_and_get_events(&ring_)
                                     : ::io_uring_submit_and_wait(&ring_, wait_for);
    switch (result < 0 ? -result : 0) {
      case 0:
      case EINTR:
        break;
      case EAGAIN:
      case EBUSY:
        // The completion queue is full: make room and go on.
        process();
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

void UringEngine::process() noexcept {
  io_uring_cqe* completion = nullptr;
  while (::io_uring_peek_cqe(&ring_, &completion) == 0) {
    const std::uint64_t user_data = completion->user_data;
    const int result = completion->res;
    // Seen before it is acted upon: acting may enter the ring again.
    ::io_uring_cqe_seen(&ring_, completion);
    complete(user_data, result);
  }
}

void UringEngine::complete(std::uint64_t user_data, int result) noexcept {
  const auto generation = static_cast<std::uint32_t>(user_data);
  const std::size_t index = user_data >> index_shift & index_mask;
  switch (static_cast<Kind>(user_data >> kind_shift)) {
    case Kind::tun:
      return finish(tun_, generation, result);
    case Kind::receive:
      return finish(sockets_[index].receive.operation, generation, result);
    case Kind::wake:
      return finish(wake_, generation, result);
    case Kind::alarm:
      return finish(alarm_operation_, generation, result);
    case Kind::send:
      return complete_send(index, generation, result);
    case Kind::write:
      return complete_write(index, generation, result);
    case Kind::writable:
      finish(sockets_[index].writable, generation, result);
      sockets_[index].writable.done = false;
      sockets_[index].full = false;
      return pump(sockets_[index]);
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

// Until nothing of the sockets, or nothing at all, is in the ring. Everything that is waited for
// has been cancelled or never waits, so this ends.
void UringEngine::drain(bool all) noexcept {
  for (;;) {
    std::size_t left = cancels_in_flight_;
    for (const Socket& socket : sockets_) {
      left += (socket.receive.operation.in_flight ? 1U : 0U) +
              (socket.writable.in_flight ? 1U : 0U) + (socket.chain.in_flight ? 1U : 0U);
    }
    if (all) {
      left += writes_in_flight_ + (tun_.in_flight ? 1U : 0U) + (wake_.in_flight ? 1U : 0U) +
              (alarm_operation_.in_flight ? 1U : 0U);
    }
    if (left == 0) {
      return;
    }
    // The kernel still writes to slots of ours: going on would be worse than ending.
    WG_ASSERT(!broken_);
    enter(1);
    process();
  }
}

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
  counters_.udp_sent += sent;
  socket.queue.advance(sent);
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

void UringEngine::deliver(noise::Deliver& run, const noise::Outbox& outbox) noexcept {
  if (tun_ended_ || run.inner_count == 0) {
    counters_.tun_after_end += run.inner_count;
    return;
  }
  while (writes_[next_write_].left != 0) {
    enter(0);
    process();
  }
  Write& write = writes_[next_write_];
  write.slot = std::move(run.slot);
  write.left = run.inner_count;
  write.generation += 1;
  writes_in_flight_ += 1;
  for (std::uint32_t i = 0; i < run.inner_count; ++i) {
    const noise::Inner& inner = outbox.inners[run.first_inner + i];
    const Bytes packet = write.slot.bytes().subspan(inner.offset_bytes, inner.bytes);
    io_uring_sqe* const entry = next_entry();
    ::io_uring_prep_write(entry, setup_.tun_fd, packet.data(), static_cast<unsigned>(packet.size()),
                          0);
    label(entry, Kind::write, next_write_, write.generation);
  }
  next_write_ = (next_write_ + 1) % writes_max;
}

void UringEngine::complete_write(std::size_t index, std::uint32_t generation, int result) noexcept {
  Write& write = writes_[index];
  WG_ASSERT(write.left > 0 && write.generation == generation);
  if (result >= 0) {
    counters_.tun_written += 1;
  } else if (settle_tun_write(-result, counters_)) {
    end_tun();
  }
  write.left -= 1;
  if (write.left == 0) {
    write.slot.reset();
    writes_in_flight_ -= 1;
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
    inbox.wilds.push_back(std::move(wild));
    counters_.udp_received += 1;
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

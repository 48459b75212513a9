#include "tun/engine/epoll_engine.hpp"

#include <algorithm>
#include <utility>

#include <errno.h>
#include <sys/epoll.h>

#include "tun/clock.hpp"
#include "tun/engine/system_calls.hpp"
#include "tun/wake.hpp"

namespace wgring::tun {

Status EpollEngine::open(const EngineSetup& setup) noexcept {
  setup_ = setup;
  epoll_ = Fd{::epoll_create1(EPOLL_CLOEXEC)};
  if (!epoll_) {
    return fail(errno, "epoll_create1");
  }
  if (!reader_.open(*setup.trains, setup.vnet)) {
    return fail(ENOMEM, "the pool has no slots for TUN reads");
  }
  Status status = alarm_.open();
  if (status) {
    status = watch(setup.tun_fd, Source::tun);
  }
  if (status) {
    status = watch(setup.wake_fd, Source::wake);
  }
  if (status) {
    status = watch(alarm_.fd(), Source::alarm);
  }
  return status;
}

void EpollEngine::set_sockets(const UdpPair* sockets) noexcept {
  const std::array<int, 2> fds{sockets == nullptr ? -1 : sockets->v4(),
                               sockets == nullptr ? -1 : sockets->v6()};
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    Socket& socket = sockets_[i];
    if (socket.watched) {
      static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket.fd, nullptr));
    }
    socket.fd = fds[i];
    socket.watched = socket.readable = socket.full = false;
    socket.kernel_drops = 0;
    socket.queue.restart(setup_.segmentation);
    if (socket.fd < 0) {
      counters_.udp_no_socket += socket.queue.clear();
    } else {
      pump(socket);
    }
  }
  watch_sockets();
}

void EpollEngine::arm() noexcept {
  reader_.restart();
  receiver_.refill(*setup_.trains);
}

void EpollEngine::submit(noise::Outbox& outbox) noexcept {
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
}

void EpollEngine::reap(Inbox& inbox) noexcept {
  if (!std::exchange(asked_, false)) {
    ask(0);
    asked_ = false;
  }
  if (tun_readable_) {
    read_tun(inbox);
  }
  // Whoever had to wait for room in the last batch comes first in this one.
  v6_first_ = !v6_first_;
  for (const bool v6 : {v6_first_, !v6_first_}) {
    receive(sockets_[v6 ? 1 : 0], inbox);
  }
  inbox.notes = std::exchange(notes_, Notes{});
}

bool EpollEngine::may_sleep() const noexcept {
  return !tun_readable_ && !sockets_[0].readable && !sockets_[1].readable && !notes_.any();
}

void EpollEngine::wait(Instant deadline) noexcept {
  alarm_.set(deadline);
  ask(all_watched() ? -1 : unwatched_look_ms);
}

// --- what epoll says ---

Status EpollEngine::watch(int fd, Source source) noexcept {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = static_cast<std::uint32_t>(source);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return fail(errno, "epoll_ctl(EPOLL_CTL_ADD)");
  }
  return {};
}

// One that epoll has no room for is tried at each look: what comes is read, what waits is sent.
void EpollEngine::watch_sockets() noexcept {
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    Socket& socket = sockets_[i];
    if (socket.fd < 0 || socket.watched) {
      continue;
    }
    if (const Status status = watch(socket.fd, i == 0 ? Source::v4 : Source::v6); !status) {
      counters_.receive_errors.add(status.error().errno_value);
      socket.readable = true;
    } else {
      socket.watched = true;
    }
    if (std::exchange(socket.full, false)) {
      pump(socket);
    }
  }
}

bool EpollEngine::all_watched() const noexcept {
  return std::ranges::all_of(sockets_,
                             [](const Socket& socket) { return socket.fd < 0 || socket.watched; });
}

void EpollEngine::watch_writable(Socket& socket, bool wanted) noexcept {
  if (std::exchange(socket.full, wanted) == wanted || !socket.watched) {
    return;
  }
  epoll_event event{};
  event.events = EPOLLIN;
  if (wanted) {
    event.events |= EPOLLOUT;
  }
  event.data.u32 = static_cast<std::uint32_t>(&socket == &sockets_[0] ? Source::v4 : Source::v6);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, socket.fd, &event) != 0) {
    counters_.receive_errors.add(errno);
    static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket.fd, nullptr));
    socket.watched = false;  // watch_sockets() tries again
  }
}

void EpollEngine::ask(int timeout_ms) noexcept {
  watch_sockets();
  std::array<epoll_event, 8> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), timeout_ms);
  asked_ = true;
  if (count < 0) {
    if (errno != EINTR) {
      notes_.set_fatal(errno, "epoll_wait");
    }
    return;
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    note(events[i].events, static_cast<Source>(events[i].data.u32));
  }
}

void EpollEngine::note(std::uint32_t events, Source source) noexcept {
  switch (source) {
    case Source::tun:
      // Errors are readable: the read says which one.
      tun_readable_ = true;
      return;
    case Source::wake:
      // Before the flag is acted upon: a later wake-up is then a new one.
      Wake::clear(setup_.wake_fd);
      notes_.woken = true;
      return;
    case Source::alarm:
      alarm_.clear();
      return;
    case Source::v4:
    case Source::v6:
      break;
  }
  Socket& socket = sockets_[source == Source::v4 ? 0 : 1];
  if ((events & ~std::uint32_t{EPOLLOUT}) != 0) {
    socket.readable = true;
  }
  if ((events & EPOLLOUT) != 0) {
    watch_writable(socket, false);
    pump(socket);
  }
}

// --- out ---

void EpollEngine::enqueue(noise::Transmit& transmit) noexcept {
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

void EpollEngine::pump(Socket& socket) noexcept {
  while (!socket.queue.empty() && !socket.full) {
    socket.queue.describe(batch_);
    const int result = send_messages(socket.fd, std::span{batch_.messages}.first(batch_.size));
    if (result > 0) {
      const auto messages = static_cast<std::size_t>(result);
      socket.queue.advance(count_sent(batch_, messages, counters_), notes_.refused);
      continue;
    }
    switch (socket.queue.settle_failure(-result, counters_, notes_.refused)) {
      case SendNext::again:
        break;
      case SendNext::wait:
        watch_writable(socket, true);
        break;
      case SendNext::fatal:
        notes_.set_fatal(-result, "sendmmsg: the UDP socket is unusable");
        counters_.udp_no_socket += socket.queue.clear();
        break;
    }
  }
}

void EpollEngine::deliver(noise::Outbox& outbox) noexcept {
  plan_.build(outbox, setup_.vnet,
              gate_.shut() ? gate_.policy(setup_.join, read_clock().boottime) : setup_.join);
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    write(plan_[i]);
  }
  plan_.clear();
}

void EpollEngine::write(const WritePlan::Write& write) noexcept {
  const long result = write_pieces(plan_.pieces(write));
  if (write.packets == 1 || !refuses_joining(result)) {
    return settle_write(result, write.packets);
  }
  counters_.joining_refused += 1;
  gate_.refused(read_clock().boottime);
  plan_.unjoin(write, [&](const iovec& packet) { settle_write(write_pieces({&packet, 1}), 1); });
}

long EpollEngine::write_pieces(std::span<const iovec> pieces) noexcept {
  return tun_ended_ ? -EBADFD : write_packet(setup_.tun_fd, pieces);
}

void EpollEngine::settle_write(long result, std::uint32_t packets) noexcept {
  if (settle_tun_write(result, packets, counters_)) {
    end_tun();
  }
}

// --- in ---

void EpollEngine::receive(Socket& socket, Inbox& inbox) noexcept {
  if (!socket.readable) {
    return;
  }
  const std::uint32_t drops_before = socket.kernel_drops;
  const ReceiveNext next =
      receiver_.receive(socket.fd, inbox.wilds.capacity, inbox, counters_, socket.kernel_drops);
  count_kernel_drops(drops_before, socket.kernel_drops, counters_.udp_kernel_dropped);
  socket.readable = next == ReceiveNext::more;
  if (next == ReceiveNext::fatal) {
    notes_.set_fatal(EBADF, "recvmmsg: the UDP socket is unusable");
  }
}

void EpollEngine::read_tun(Inbox& inbox) noexcept {
  switch (reader_.read(setup_.tun_fd, inbox, counters_)) {
    case TunNext::more:
      break;
    case TunNext::drained:
      tun_readable_ = false;
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

void EpollEngine::end_tun() noexcept {
  if (!std::exchange(tun_ended_, true)) {
    // An interface that is gone stays readable for ever.
    static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, setup_.tun_fd, nullptr));
    notes_.tun_gone = true;
  }
  tun_readable_ = false;
}

}  // namespace wgring::tun

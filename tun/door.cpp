#include "tun/door.hpp"

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "crypto/self_test.hpp"
#include "noise/messages.hpp"
#include "tun/clock.hpp"
#include "tun/engine/system_calls.hpp"

namespace wgring::tun {
namespace {

// After that the first thread sees whether the second gets on.
constexpr int flood_period_ms = 4;
constexpr timespec flood_pause{.tv_sec = 0, .tv_nsec = 1'000'000};
constexpr timespec breath{.tv_sec = 0, .tv_nsec = 1'000};  // and what the kernel adds: some 50 us

// So often in a row, with no datagram between them.
constexpr unsigned looks_before_lift = 8;
constexpr int look_ms = 1;

bool set_policy(pthread_t thread, int policy) noexcept {
  const sched_param none{};
  return ::pthread_setschedparam(thread, policy, &none) == 0;
}

HandOver& from_door(std::span<Inlet> inlets, std::uint32_t shard) noexcept {
  return inlets[shard].from(static_cast<std::uint32_t>(inlets.size()));
}

}  // namespace

// --- control thread ---

Result<std::unique_ptr<Door>> Door::start(const DoorSetup& setup) noexcept {
  std::unique_ptr<Door> door(new (std::nothrow) Door(setup));
  if (door == nullptr) {
    return fail(ENOMEM, "out of memory for the door");
  }
  if (const Status opened = door->open(); !opened) {
    return std::unexpected(opened.error());
  }
  return door;
}

Door::Door(const DoorSetup& setup) noexcept : setup_(setup) {}

Status Door::open() noexcept {
  if (!room_.reserve(setup_.memory, sizeof(noise::InitiationGate)) ||
      !room_.ensure(sizeof(noise::InitiationGate))) {
    return fail(ENOMEM, "no memory for the door");
  }
  gate_ = ::new (room_.data()) noise::InitiationGate(setup_.entropy, setup_.mark);
  if (!gate_->open(setup_.memory)) {
    return fail(ENOMEM, "no memory or no entropy for the door");
  }
  constexpr std::size_t bytes = receives_max * train_slot_bytes;
  if (const Status mapped = memory_.open(bytes, "mmap: buffers of the door; out of memory");
      !mapped) {
    return mapped;
  }
  pool_.emplace(MutableBytes{memory_.data(), bytes}, free_list_, train_slot_bytes);
  if (const Status woken = wake_.open(); !woken) {
    return woken;
  }
  if (const Status first = start_thread(thread_, enter); !first) {
    return first;
  }
  started_ = true;
  if (const Status second = start_thread(flood_thread_, enter_flood); !second) {
    return second;
  }
  flood_started_ = true;
  // Both have begun: what they do once, they may not be allowed to do later.
  call([] {});
  flood_ready_.wait(false);
  // A processor that runs nothing else is free to all others, who are woken on it. Another policy
  // than the usual one was somebody's choice.
  is_set_back_ = ::sched_getscheduler(0) == SCHED_OTHER && set_policy(flood_thread_, SCHED_IDLE);
  return {};
}

// Signals are the control thread's: the new thread inherits a full mask.
Status Door::start_thread(pthread_t& thread, void* (*function)(void*)) noexcept {
  sigset_t all{};
  sigset_t before{};
  ::sigfillset(&all);
  WG_ASSERT(::pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
  const int error = ::pthread_create(&thread, nullptr, function, this);
  WG_ASSERT(::pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
  return error == 0 ? Status{} : fail(error, "pthread_create: the door");
}

Door::~Door() {
  if (started_) {
    stop_.store(true);
    wake_.wake();
    WG_ASSERT(::pthread_join(thread_, nullptr) == 0);
  }
  if (flood_started_) {
    flood_.store(1);
    flood_.notify_one();
    if (is_set_back_) {
      static_cast<void>(set_policy(flood_thread_, SCHED_OTHER));
    }
    WG_ASSERT(::pthread_join(flood_thread_, nullptr) == 0);
  }
  receiver_.release();
  if (gate_ != nullptr) {
    std::destroy_at(gate_);
  }
}

template <typename Task>
void Door::call(Task&& task) noexcept {
  using Plain = std::remove_reference_t<Task>;
  tasks_.run([](void* at, Door&) noexcept { (*static_cast<Plain*>(at))(); }, &task,
             [this] { wake_.wake(); });
}

void Door::set_sockets(const UdpGroup* group) noexcept {
  call([&] {
    incoming_.clear();
    group_ = group;
    if (group != nullptr) {
      for (const UdpPair& pair : group->door()) {
        take_socket(pair.v4());
        take_socket(pair.v6());
      }
    }
    is_flood_ = false;  // nobody is left to see it end
    arrived_ = 0;
  });
}

// -1: this kernel does not have its family.
void Door::take_socket(int fd) noexcept {
  if (fd >= 0) {
    incoming_.push_back({.fd = fd});
  }
}

void Door::set_mac_keys(const std::optional<noise::MacKeys>& ours) noexcept {
  call([&] { gate_->set_mac_keys(ours); });
}

void Door::settle() noexcept {
  call([] {});
}

void Door::add_stats(ShardStats& to) noexcept {
  call([&] {
    for (std::size_t i = 0; i < noise::drop_count; ++i) {
      to.drops.packets[i] += gate_->drops().packets[i];
    }
    to.engine += counters_;
  });
}

// --- either thread ---

bool Door::take_door() noexcept {
  // Pairs with the release in leave_door(): what the other did with it is seen.
  return !taken_.exchange(true, std::memory_order_acquire);
}

void Door::leave_door() noexcept { taken_.store(false, std::memory_order_release); }

// --- the first ---

void* Door::enter(void* self) noexcept {
  static_cast<void>(::pthread_setname_np(::pthread_self(), "wgring-door"));
  crypto::prepare_thread();
  static_cast<Door*>(self)->serve();
  return nullptr;
}

void Door::serve() noexcept {
  while (!stop_.load(std::memory_order_relaxed)) {
    wait();
    const bool other_moves = progressed();
    if (other_moves && flood_.load(std::memory_order_relaxed) != 0 && !tasks_.waiting()) {
      // There is nothing to be gained by two.
      turn_arrivals_ = 0;
      note_look(Look::needless);
      continue;
    }
    const bool has_door = take_door();
    note_look(has_door ? Look::done : other_moves ? Look::owed : Look::stuck);
    if (has_door) {
      const std::uint64_t received_before = counters_.udp_received;
      static_cast<void>(receive_all());
      turn_arrivals_ = counters_.udp_received - received_before;
      static_cast<void>(progressed());  // what was its own
      tasks_.serve([this](const TaskSlot<Door>::Task& task) { task.function(task.task, *this); });
      share_reading();
      leave_door();
    }
  }
}

// Since the last time it was asked.
bool Door::progressed() noexcept {
  const std::uint32_t progress = progress_.load(std::memory_order_relaxed);
  return std::exchange(progress_seen_, progress) != progress;
}

void Door::note_look(Look look) noexcept {
  const bool owes = look == Look::owed || look == Look::stuck;
  wanted_.store(owes, std::memory_order_relaxed);
  looks_stuck_ = look == Look::stuck ? looks_stuck_ + 1 : 0;
  owes_a_look_ = owes;
  if (looks_stuck_ == looks_before_lift) {
    lift_other();
    looks_stuck_ = 0;
  }
}

// Needs CAP_SYS_NICE or RLIMIT_NICE; without either it stands still until a processor is idle, or
// the scheduler gives it what it gives to SCHED_IDLE.
void Door::lift_other() noexcept {
  if (is_set_back_ && set_policy(flood_thread_, SCHED_OTHER)) {
    lifted_.store(true);  // only now: it sets itself back when it sees this
  }
}

// Until somebody comes or calls. Beside the other, who would wake this thread again and again, for
// a while only.
void Door::wait() noexcept {
  const bool beside_other = flood_.load(std::memory_order_relaxed) != 0;
  const bool asks = !beside_other && !owes_a_look_;
  std::array<pollfd, 1 + sockets_max> fds;
  fds[0] = {.fd = wake_.fd(), .events = POLLIN, .revents = 0};
  // Not those that are to be left alone: the kernel takes no more than a process may have open.
  const std::size_t count = 1 + (asks ? list_sockets(std::span{fds}.subspan<1>()) : 0);
  // A train stands for many.
  const auto batches = static_cast<int>(std::max<std::uint64_t>(1, turn_arrivals_ / receives_max));
  const int patience_ms = owes_a_look_ ? look_ms : beside_other ? flood_period_ms * batches : -1;
  const int polled = ::poll(fds.data(), count, patience_ms);
  if (polled < 0 && errno != EINTR) {
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &flood_pause, nullptr);  // all are looked at meanwhile
  } else if (polled > 0 && fds[0].revents != 0) {
    // Before the task is looked for: a later wake-up is then a new one.
    wake_.clear();
  }
}

// --- the second ---

void* Door::enter_flood(void* self) noexcept {
  static_cast<void>(::pthread_setname_np(::pthread_self(), "wgring-flood"));
  crypto::prepare_thread();
  auto* const door = static_cast<Door*>(self);
  door->flood_ready_.store(true);
  door->flood_ready_.notify_one();
  door->serve_flood();
  return nullptr;
}

// Sleeps where nothing is left, and waits for no descriptor: those are used by who has the door.
// Where there is more it sleeps a moment as well: a processor that is never quite idle does not
// look for what waits at another one.
void Door::serve_flood() noexcept {
  while (!stop_.load()) {
    flood_.wait(0);
    bool more = false;
    if (take_door()) {
      more = receive_all();
      if (more && !wanted_.load(std::memory_order_relaxed)) {
        more = receive_all();
      }
      share_reading();
      leave_door();
    }
    if (lifted_.exchange(false)) {
      static_cast<void>(set_policy(::pthread_self(), SCHED_IDLE));
    }
    const bool goes_on = more && !wanted_.load(std::memory_order_relaxed);
    static_cast<void>(
        ::clock_nanosleep(CLOCK_MONOTONIC, 0, goes_on ? &breath : &flood_pause, nullptr));
  }
}

// --- who has the door ---

// As much of each that has something; as many of them as make a turn. True: there is more.
bool Door::receive_all() noexcept {
  now_ = no_earlier(now_, read_clock());
  if (setup_.inlets.front().crowded()) {
    gate_->begin_load(now_.boottime);
  }
  gate_->collect(now_.boottime);
  std::size_t ready = look_for_more();
  const std::size_t share = std::max(receives_min, receives_max / std::max<std::size_t>(ready, 1));
  const std::uint64_t received_before = counters_.udp_received;
  copies_ = 0;
  bool more = false;
  for (std::size_t left = receives_max / share; left > 0 && ready > 0;) {
    next_incoming_ = (next_incoming_ + 1) % incoming_.size();
    Incoming& in = incoming_[next_incoming_];
    if (std::exchange(in.is_ready, false)) {
      more = receive(in, share) || more;
      left -= 1;
      ready -= 1;
    }
  }
  more = more || ready > 0;
  // A look that finds nothing is progress too.
  progress_.fetch_add(1, std::memory_order_relaxed);
  note_arrivals(counters_.udp_received - received_before - copies_, more);
  return more;
}

// How many have something.
std::size_t Door::look_for_more() noexcept {
  std::array<pollfd, sockets_max> fds;
  const std::size_t count = list_sockets(fds);
  const bool is_known = ::poll(fds.data(), count, 0) >= 0;
  if (!is_known && errno != EINTR) {
    counters_.receive_errors.add(errno);
  }
  std::size_t ready = 0;
  for (std::size_t i = 0; i < count; ++i) {
    incoming_[i].is_ready = !is_known || fds[i].revents != 0;
    ready += incoming_[i].is_ready ? 1U : 0U;
  }
  return ready;
}

std::size_t Door::list_sockets(std::span<pollfd, sockets_max> to) const noexcept {
  for (std::size_t i = 0; i < incoming_.size(); ++i) {
    to[i] = {.fd = incoming_[i].fd, .events = POLLIN, .revents = 0};
  }
  return incoming_.size();
}

// True: there is more.
bool Door::receive(Incoming& in, std::size_t share) noexcept {
  receiver_.refill(*pool_, share);
  inbox_.clear();
  const std::uint32_t drops_before = in.kernel_drops;
  const std::uint64_t received_before = counters_.udp_received;
  const ReceiveNext next = receiver_.receive(in.fd, share, inbox_, counters_, in.kernel_drops);
  WG_ASSERT(next != ReceiveNext::fatal);  // the descriptor is a socket until set_sockets()
  counters_.strangers_received += counters_.udp_received - received_before;
  count_kernel_drops(drops_before, in.kernel_drops, counters_.door_dropped);
  progress_.fetch_add(1, std::memory_order_relaxed);
  for (const noise::Wild& wild : inbox_.wilds) {
    judge_all(wild, in.fd);
    progress_.fetch_add(1, std::memory_order_relaxed);
  }
  send_answers(in.fd);
  publish();
  inbox_.clear();
  return next == ReceiveNext::more;
}

void Door::note_arrivals(std::uint64_t count, bool more) noexcept {
  if (now_.boottime - window_began_ >= window) {
    if (arrived_ < flood_ends && !more) {
      is_flood_ = false;
    }
    window_began_ = now_.boottime;
    arrived_ = 0;
  }
  arrived_ += count;
  if (arrived_ >= flood_begins) {
    is_flood_ = true;
  }
  if (is_flood_ && now_.boottime - lines_drawn_ >= lines_last) {
    lines_drawn_ = now_.boottime;
    if (const Status drawn = group_->draw_lines(); !drawn) {
      counters_.receive_errors.add(drawn.error().errno_value);
    }
  }
}

// A flood beside data is the second's, all else the first's.
void Door::share_reading() noexcept {
  const std::uint32_t seconds = is_flood_ && beside_data() ? 1 : 0;
  if (flood_.exchange(seconds) != seconds) {
    seconds != 0 ? flood_.notify_one() : wake_.wake();
  }
}

bool Door::beside_data() const noexcept {
  const Instant now = read_clock().boottime;
  return std::ranges::any_of(setup_.inlets,
                             [&](const Inlet& inlet) { return now < inlet.data_until(); });
}

// A datagram, or a train of them.
void Door::judge_all(const noise::Wild& wild, int fd) noexcept {
  if (wild.to_many) {
    copies_ += 1;
    return;
  }
  const std::uint32_t stride = noise::stride_of(wild);
  const Bytes bytes = wild.slot.bytes().first(wild.bytes);
  std::size_t offset = 0;
  do {
    if (answers_.room() == 0) {
      send_answers(fd);
    }
    const Bytes datagram =
        bytes.subspan(offset, std::min<std::size_t>(stride, bytes.size() - offset));
    // Joined to the first; or the first itself, as long as the group was not complete.
    if (const std::optional<std::uint32_t> index = gate_->marked_index(datagram)) {
      give_stray(*index, datagram, wild);
    } else {
      judge(datagram, wild);
    }
    offset += stride;
  } while (offset < bytes.size());
}

void Door::judge(Bytes datagram, const noise::Wild& wild) noexcept {
  Answer answer{.back = {.remote = wild.source, .source = wild.destination}};
  const std::optional<noise::Drop> refused =
      gate_->refuse(datagram, wild.source, now_.boottime, answer.message);
  if (!refused) {
    noise::HandedInitiation handed{.source = wild.source, .destination = wild.destination};
    copy_bytes(handed.message, datagram);
    if (!give(0, handed)) {
      gate_->begin_load(now_.boottime);
    }
  } else if (*refused == noise::Drop::cookie_sent) {
    answers_.push_back(answer);
  }
}

void Door::give_stray(std::uint32_t index, Bytes datagram, const noise::Wild& wild) noexcept {
  const auto shard = index & (static_cast<std::uint32_t>(setup_.inlets.size()) - 1);
  static_cast<void>(give(shard, StrayDatagram{.datagram = datagram,
                                              .source = wild.source,
                                              .destination = wild.destination,
                                              .ecn = wild.ecn}));
}

template <typename Item>
bool Door::give(std::uint32_t shard, const Item& item) noexcept {
  const bool pushed = from_door(setup_.inlets, shard).push(item);
  if (pushed) {
    counters_.strangers_let_in += 1;
    given_ |= std::uint32_t{1} << shard;
  } else {
    counters_.door_full += 1;
  }
  return pushed;
}

void Door::publish() noexcept {
  for (std::uint32_t shard = 0; given_ != 0; ++shard, given_ >>= 1U) {
    if ((given_ & 1U) != 0) {
      from_door(setup_.inlets, shard).publish();
      setup_.inlets[shard].rouse();
    }
  }
}

void Door::describe(std::size_t answer) noexcept {
  Answer& from = answers_[answer];
  NativeAddress& name = sending_.names[answer];
  SendControl& control = sending_.controls[answer];
  to_native(from.back.remote, name);
  build_control(from.back, 0, 0, control);
  sending_.payloads[answer] = {.iov_base = from.message.data(), .iov_len = from.message.size()};
  mmsghdr& message = sending_.messages[answer];
  message = {};
  message.msg_hdr.msg_name = &name.v6;
  message.msg_hdr.msg_namelen = name.bytes;
  message.msg_hdr.msg_iov = &sending_.payloads[answer];
  message.msg_hdr.msg_iovlen = 1;
  message.msg_hdr.msg_control = control.bytes == 0 ? nullptr : control.data.data();
  message.msg_hdr.msg_controllen = control.bytes;
}

// Straight back to where each came from. One that the kernel does not take is lost, and counted;
// without our address, if that is what was refused.
void Door::send_answers(int fd) noexcept {
  for (std::size_t i = 0; i < answers_.size(); ++i) {
    describe(i);
  }
  for (std::size_t next = 0; next < answers_.size();) {
    const std::size_t left = answers_.size() - next;
    const int result = send_messages(fd, std::span{sending_.messages}.subspan(next, left));
    noise::LocalSource& source = answers_[next].back.source;
    if (result > 0) {
      counters_.udp_sent += static_cast<std::uint64_t>(result);
      next += static_cast<std::size_t>(result);
    } else if (result == -EAGAIN) {
      counters_.send_errors.add(EAGAIN, left);
      next += left;
    } else if (blames_source(-result) && source.ip.family != noise::Family::none) {
      counters_.sources_refused += 1;
      source = {};
      describe(next);
    } else if (result != -EINTR) {
      counters_.send_errors.add(-result);
      next += 1;
    }
  }
  answers_.clear();
}

}  // namespace wgring::tun

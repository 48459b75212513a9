#include "tun/shard_thread.hpp"

#include <span>

#include <errno.h>
#include <poll.h>
#include <signal.h>

#include "crypto/self_test.hpp"
#include "noise/constants.hpp"
#include "tun/clock.hpp"

namespace wgring::tun {

// --- control thread ---

ShardThread::ShardThread(const ShardSetup& setup, const ShardPlace& place) noexcept
    : setup_(setup), place_(place), inlet_(&place_.inlets[place_.shard]) {}

Status ShardThread::start() noexcept {
  Status status = notify_.open();
  if (status) {
    status = pools_.open();
  }
  if (!status) {
    return status;
  }
  // Signals are the control thread's: the new thread inherits a full mask.
  sigset_t all{};
  sigset_t before{};
  ::sigfillset(&all);
  WG_ASSERT(::pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
  const int error = ::pthread_create(&thread_, nullptr, enter, this);
  WG_ASSERT(::pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
  if (error != 0) {
    return fail(error, "pthread_create: the shard's thread");
  }
  started_ = true;
  // Pairs with the store in enter(): choice_ or open_error_ is there.
  phase_.wait(Phase::opening, std::memory_order_acquire);
  if (phase_.load(std::memory_order_acquire) == Phase::failed) {
    return std::unexpected(open_error_);
  }
  return {};
}

ShardThread::~ShardThread() {
  if (started_) {
    stop_.store(true, std::memory_order_relaxed);
    inlet_->wake();
    WG_ASSERT(::pthread_join(thread_, nullptr) == 0);
  }
}

void ShardThread::run_task(TaskFunction function, void* task) noexcept {
  WG_ASSERT(started_ && ::pthread_equal(::pthread_self(), thread_) == 0);
  tasks_.run(function, task, [this] { inlet_->wake(); });
}

Notices ShardThread::take_notices() noexcept {
  Notices notices;
  // Cleared first: what is published from here on makes the descriptor readable again.
  notify_.clear();
  notices.tun_gone = tun_gone_.exchange(false, std::memory_order_relaxed);
  // Pairs with the release in publish_notes().
  notices.fatal = fatal_.exchange(false, std::memory_order_acquire);
  if (notices.fatal) {
    notices.error = fatal_error_;
  }
  noise::Event event;
  while (notices.events.room() > 0 && events_.pop(event)) {
    notices.events.push_back(event);
  }
  notices.events_lost = events_lost_.exchange(0, std::memory_order_relaxed);
  return notices;
}

void ShardThread::copy_stats(const ShardContext& context, ShardStats& stats) const noexcept {
  stats.drops = context.device.drops();
  stats.lanes = lanes_.counters();
  stats.hand_over = hand_over_;
  stats.engine = epoll_ ? epoll_->counters() : uring_->counters();
  stats.turns = turns_;
  stats.waits = waits_;
}

// --- shard thread: start and end ---

void* ShardThread::enter(void* self) noexcept {
  auto* const shard = static_cast<ShardThread*>(self);
  static_cast<void>(::pthread_setname_np(::pthread_self(), "wgring-shard"));
  crypto::prepare_thread();
  const Status opened = shard->open();
  if (!opened) {
    shard->open_error_ = opened.error();
  }
  // Pairs with the acquire in start(). Sequentially consistent: libstdc++ asks next whether anybody
  // waits, and may not before this is seen.
  shard->phase_.store(opened ? Phase::running : Phase::failed);
  shard->phase_.notify_one();
  if (opened && shard->epoll_) {
    shard->run(*shard->epoll_);
  } else if (opened) {
    shard->run(*shard->uring_);
  }
  // The ring belongs to this thread, so it ends here, and so do the lanes; the Device gives its
  // slots back before the pools go.
  shard->inbox_.clear();
  shard->outbox_.clear();
  shard->epoll_.reset();
  shard->uring_.reset();
  shard->device_.reset();
  shard->lanes_.stop();
  return nullptr;
}

Status ShardThread::open() noexcept {
  refresh_now();
  Result<EngineChoice> choice = choose_engine(setup_.engine);
  if (!choice) {
    return std::unexpected(choice.error());
  }
  choice_ = *choice;
  if (const Status started = lanes_.start(setup_.lanes); !started) {
    return started;
  }
  Result<noise::Device> device = noise::Device::open({.memory = setup_.memory,
                                                      .entropy = setup_.entropy,
                                                      .aead = setup_.aead,
                                                      .train_pool = &pools_.trains(),
                                                      .packet_pool = &pools_.packets(),
                                                      .shard = place_.shard,
                                                      .shard_bits = place_.shard_bits,
                                                      .mark = place_.mark,
                                                      .now = now_,
                                                      .runner = lanes_.runner(),
                                                      .prefixes = setup_.prefixes});
  if (!device) {
    return std::unexpected(device.error());
  }
  device_.emplace(std::move(*device));
  const EngineSetup setup{
      .tun_fd = setup_.tun_fd,
      .wake_fd = inlet_->wake_fd(),
      .trains = &pools_.trains(),
      .packets = &pools_.packets(),
      .vnet = setup_.vnet,
      .join = {.tcp = setup_.offloads.has(Offload::tun_tcp_join),
               .udp = setup_.offloads.has(Offload::tun_udp_join)},
      .segmentation = setup_.offloads.has(Offload::udp_gso) ? Segmentation::on : Segmentation::off};
  if (choice_.kind != EngineKind::epoll) {
    const bool basic = choice_.kind == EngineKind::uring_basic;
    const Status opened = uring_.emplace(basic ? UringForm::basic : UringForm::full).open(setup);
    if (opened || setup_.engine != EngineKind::automatic) {
      return opened;
    }
    // The small ring of the trial could be had, and one of full size not.
    uring_.reset();
    choice_ = {.kind = EngineKind::epoll, .why = opened.error().what};
  }
  return epoll_.emplace().open(setup);
}

// --- the loop ---

template <Engine E>
void ShardThread::run(E& engine) noexcept {
  while (!stopping() && !failed_) {
    turn(engine);
  }
  if (failed_) {
    run_without_engine(engine);
  }
}

template <Engine E>
void ShardThread::turn(E& engine) noexcept {
  turns_ += 1;
  engine.arm();
  const Instant due = device_->next_deadline().at;
  if (due > now_.boottime && engine.may_sleep() && inlet_->begin_sleep()) {
    waits_ += 1;
    engine.wait(due);
    inlet_->end_sleep();
  }
  inbox_.clear();
  engine.reap(inbox_);
  refresh_now();
  if (!inbox_.wilds.empty() || !inbox_.plains.empty()) {
    lanes_.note_turn();
  }
  if (now_.boottime < data_until_) {
    inlet_->set_data_until(Instant::max());  // taken for data until that is known
  }
  deliver_inbox(engine);
  take_handed(engine);
  run_deadlines(engine);
  note_data();
  serve_task(engine);
}

// The core's time is that of the turn's start, and a turn may be long.
void ShardThread::note_data() noexcept {
  if (device_->data_until() != data_noted_) {
    data_noted_ = device_->data_until();
    refresh_now();
    data_until_ = now_.boottime + noise::data_holds;
  }
  inlet_->set_data_until(data_until_);
}

template <Engine E>
void ShardThread::deliver_inbox(E& engine) noexcept {
  if (!inbox_.wilds.empty()) {
    device_->on_udp({inbox_.wilds.begin(), inbox_.wilds.size()}, now_, outbox_);
    submit(engine);
  }
  deliver_plains(engine, {inbox_.plains.begin(), inbox_.plains.size()});
  for (const noise::LocalSource& refused : inbox_.notes.refused) {
    device_->forget_sources(refused);
  }
  publish_notes(inbox_.notes);
}

template <Engine E>
void ShardThread::deliver_plains(E& engine, std::span<const noise::Plain> plains) noexcept {
  while (!plains.empty()) {
    plains = plains.subspan(device_->on_tun(plains, now_, outbox_));
    submit(engine);
  }
}

// One batch of each: the others of this turn are not kept waiting.
template <Engine E>
void ShardThread::take_handed(E& engine) noexcept {
  inlet_->for_each([&](HandOver& ring, std::uint32_t giver) {
    if (ring.empty()) {
      return;  // and its giver's cache line is left alone
    }
    ring.take(handed_);
    const bool of_a_shard = giver < place_.inlets.size();
    hand_over_.taken += of_a_shard ? handed_.plains.size() + handed_.initiations.size() : 0;
    if (!handed_.initiations.empty()) {
      device_->on_initiations({handed_.initiations.begin(), handed_.initiations.size()}, now_,
                              outbox_);
      submit(engine);
    }
    deliver_strays(engine, {handed_.strays.begin(), handed_.strays.size()});
    deliver_plains(engine, {handed_.plains.begin(), handed_.plains.size()});
    ring.release();
    handed_.clear();
  });
  inlet_->set_crowded(device_->handshakes_waiting() >= noise::under_load_handshakes);
}

template <Engine E>
void ShardThread::deliver_strays(E& engine, std::span<const StrayDatagram> strays) noexcept {
  FixedVector<noise::Wild, noise::wild_batch_max> wilds;
  for (const StrayDatagram& stray : strays) {
    Slot slot = pools_.trains().take();
    if (!slot) {
      hand_over_.full += 1;
      continue;
    }
    copy_bytes(slot.bytes(), stray.datagram);
    wilds.push_back({.slot = std::move(slot),
                     .bytes = static_cast<std::uint32_t>(stray.datagram.size()),
                     .source = stray.source,
                     .destination = stray.destination,
                     .ecn = stray.ecn});
  }
  if (!wilds.empty()) {
    device_->on_udp({wilds.begin(), wilds.size()}, now_, outbox_);
    submit(engine);
  }
}

// Copies: the bytes of TUN are a loan until the next arm().
void ShardThread::hand_over() noexcept {
  std::uint32_t shards = 0;  // a bit each
  const auto give = [&](const auto& item, std::uint32_t shard) {
    const bool pushed = place_.inlets[shard].from(place_.shard).push(item);
    (pushed ? hand_over_.given : hand_over_.full) += 1;
    shards |= std::uint32_t{1} << shard;
  };
  for (const noise::HandedPlain& handed : outbox_.handed_plains) {
    give(handed.packet, handed.shard);
  }
  for (const noise::HandedInitiation& handed : outbox_.handed_initiations) {
    give(handed, handed.shard);
  }
  for (std::uint32_t shard = 0; shards != 0; ++shard, shards >>= 1U) {
    if ((shards & 1U) != 0) {
      place_.inlets[shard].from(place_.shard).publish();
      place_.inlets[shard].rouse();
    }
  }
}

template <Engine E>
void ShardThread::run_deadlines(E& engine) noexcept {
  for (int i = 0; i < deadlines_per_turn_max; ++i) {
    const noise::Deadline due = device_->next_deadline();
    const bool again = i > 0 && due.reason == noise::DeadlineReason::handshake_queue;
    if (due.at > now_.boottime || again) {
      return;
    }
    device_->on_deadline(now_, outbox_);
    submit(engine);
  }
}

template <Engine E>
void ShardThread::serve_task(E& engine) noexcept {
  tasks_.serve([&](const TaskSlot<ShardContext>::Task& task) {
    struct Owner {
      ShardThread* shard;
      E* engine;
    } owner{this, &engine};
    refresh_now();
    ShardContext context(*device_, now_, outbox_);
    context.owner_ = &owner;
    context.flush_ = [](void* at) noexcept {
      auto* const to = static_cast<Owner*>(at);
      to->shard->submit(*to->engine);
    };
    context.set_sockets_ = [](void* at, const UdpPair* sockets) noexcept {
      static_cast<Owner*>(at)->engine->set_sockets(sockets);
    };
    task.function(task.task, context);
    submit(engine);
  });
}

template <Engine E>
void ShardThread::submit(E& engine) noexcept {
  if (!outbox_.events.empty()) {
    publish_events();
  }
  if (!outbox_.handed_plains.empty() || !outbox_.handed_initiations.empty()) {
    hand_over();
  }
  if (failed_) {
    outbox_.clear();
  } else if (!outbox_.transmits.empty() || !outbox_.delivers.empty()) {
    engine.submit(outbox_);
  } else {
    outbox_.clear();
  }
}

template <Engine E>
void ShardThread::run_without_engine(E& engine) noexcept {
  engine.set_sockets(nullptr);
  while (!stopping()) {
    pollfd wake{.fd = inlet_->wake_fd(), .events = POLLIN, .revents = 0};
    static_cast<void>(::poll(&wake, 1, -1));
    inlet_->clear_wake();
    serve_task(engine);
  }
}

void ShardThread::refresh_now() noexcept { now_ = no_earlier(now_, read_clock()); }

void ShardThread::publish_events() noexcept {
  for (const noise::Event& event : outbox_.events) {
    if (!events_.push(event)) {
      events_lost_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  notify_.wake();
}

void ShardThread::publish_notes(const Notes& notes) noexcept {
  if (notes.tun_gone) {
    tun_gone_.store(true, std::memory_order_relaxed);
  }
  if (notes.fatal && !failed_) {
    failed_ = true;
    fatal_error_ = *notes.fatal;
    // Pairs with the acquire in take_notices().
    fatal_.store(true, std::memory_order_release);
  }
  if (notes.tun_gone || notes.fatal) {
    notify_.wake();
  }
}

}  // namespace wgring::tun

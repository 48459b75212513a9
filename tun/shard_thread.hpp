// ShardThread: what is behind Shard; the loop of the data path.
//
// One turn:  1 arm   2 sleep if nothing is due   3 reap   4 core: UDP, then TUN, then what other
//            shards and the door left, then deadlines   5 a task of the control thread
// After each call into the core its effects are submitted before anything else happens.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include <pthread.h>

#include "noise/outbox.hpp"
#include "tun/engine/epoll_engine.hpp"
#include "tun/engine/uring_engine.hpp"
#include "tun/inlet.hpp"
#include "tun/shard.hpp"
#include "tun/spsc_ring.hpp"
#include "tun/task_slot.hpp"
#include "tun/train_pool.hpp"
#include "tun/wake.hpp"

namespace wgring::tun {

class ShardThread {
 public:
  using TaskFunction = void (*)(void* task, ShardContext&) noexcept;

  ShardThread(const ShardSetup& setup, const ShardPlace& place) noexcept;
  ShardThread(const ShardThread&) = delete;
  ShardThread& operator=(const ShardThread&) = delete;
  ~ShardThread();

  // --- control thread ---
  [[nodiscard]] Status start() noexcept;
  void run_task(TaskFunction function, void* task) noexcept;
  [[nodiscard]] EngineChoice engine() const noexcept { return choice_; }
  [[nodiscard]] int notify_fd() const noexcept { return notify_.fd(); }
  [[nodiscard]] Notices take_notices() noexcept;
  void copy_stats(const ShardContext& context, ShardStats& stats) const noexcept;

 private:
  // A wake-up that finds more due than this goes on in the next turn, after packets.
  static constexpr int deadlines_per_turn_max = 4;
  static constexpr std::size_t event_queue_max = Notices::events_max;

  enum class Phase : std::uint32_t { opening, running, failed };

  // --- shard thread ---
  static void* enter(void* self) noexcept;
  [[nodiscard]] Status open() noexcept;
  template <Engine E>
  void run(E& engine) noexcept;
  template <Engine E>
  void turn(E& engine) noexcept;
  void note_data() noexcept;  // for the door
  template <Engine E>
  void deliver_inbox(E& engine) noexcept;
  template <Engine E>
  void deliver_plains(E& engine, std::span<const noise::Plain> plains) noexcept;
  template <Engine E>
  void take_handed(E& engine) noexcept;
  template <Engine E>
  void deliver_strays(E& engine, std::span<const StrayDatagram> strays) noexcept;
  void hand_over() noexcept;
  template <Engine E>
  void run_deadlines(E& engine) noexcept;
  template <Engine E>
  void serve_task(E& engine) noexcept;
  template <Engine E>
  void submit(E& engine) noexcept;
  // The engine is of no use any more: nothing moves, the control thread is still served.
  template <Engine E>
  void run_without_engine(E& engine) noexcept;
  void refresh_now() noexcept;
  void publish_events() noexcept;
  void publish_notes(const Notes& notes) noexcept;
  [[nodiscard]] bool stopping() const noexcept { return stop_.load(std::memory_order_relaxed); }

  ShardSetup setup_;
  ShardPlace place_;
  Inlet* inlet_;
  Wake notify_;
  EngineChoice choice_;
  TrainPools pools_;
  Lanes lanes_;
  std::optional<noise::Device> device_;
  std::optional<EpollEngine> epoll_;
  std::optional<UringEngine> uring_;
  noise::Outbox outbox_;
  Inbox inbox_;
  HandOver::Batch handed_;
  HandOverCounters hand_over_;
  Now now_{};
  std::uint64_t turns_ = 0;
  std::uint64_t waits_ = 0;
  Instant data_noted_{};  // of the core, of the last turn in which authentic data moved
  Instant data_until_{};  // the same, by the time at which that turn ended
  bool failed_ = false;   // a fatal note was published

  pthread_t thread_{};
  bool started_ = false;
  std::atomic<bool> stop_{false};
  std::atomic<Phase> phase_{Phase::opening};
  Error open_error_;

  TaskSlot<ShardContext> tasks_;

  SpscRing<noise::Event, event_queue_max> events_;
  std::atomic<std::uint64_t> events_lost_{0};
  std::atomic<bool> tun_gone_{false};
  std::atomic<bool> fatal_{false};
  Error fatal_error_;  // written before fatal_
};

}  // namespace wgring::tun

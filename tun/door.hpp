// Door: the two threads that read what strangers send, few by the one, a flood by the other.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <pthread.h>

#include "base/fixed_vector.hpp"
#include "base/memory_source.hpp"
#include "base/region.hpp"
#include "base/result.hpp"
#include "base/slot_pool.hpp"
#include "noise/initiation_gate.hpp"
#include "noise/outbox.hpp"
#include "tun/engine/engine.hpp"
#include "tun/engine/udp_receiver.hpp"
#include "tun/inlet.hpp"
#include "tun/message.hpp"
#include "tun/packet_memory.hpp"
#include "tun/shard.hpp"
#include "tun/task_slot.hpp"
#include "tun/train_pool.hpp"
#include "tun/wake.hpp"

namespace wgring::tun {

struct DoorSetup {
  MemorySource memory;
  noise::Entropy entropy;
  Inlet* inlet = nullptr;   // of the shard that gets what is let in; outlives the door
  std::uint32_t giver = 0;  // the door's ring in it
};

// The one has the usual priority, and sleeps until somebody comes. In a flood beside data it leaves
// all to the other, which gets what processors are idle for (SCHED_IDLE), but for a batch each 4
// ms, so that it goes on where none is. What is not read in time is lost in the socket's buffer
// (door_dropped). One at a time has the door; who finds it taken comes again.
// Owner: the control thread, and the thread of all calls here.
class Door {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Door>> start(const DoorSetup& setup) noexcept;
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;
  ~Door();

  // The pair is a loan until it is replaced; on return nothing of the old one is in use. nullptr:
  // none.
  void set_sockets(const UdpPair* sockets) noexcept;
  // As InitiationGate::set_mac_keys().
  void set_mac_keys(const std::optional<noise::MacKeys>& ours) noexcept;
  // What came before is with the shard on return, or lost.
  void settle() noexcept;
  // What came here, went from here and was lost here is added.
  void add_stats(ShardStats& to) noexcept;

 private:
  struct Incoming {
    int fd = -1;
    std::uint32_t kernel_drops = 0;
  };
  // Cookie replies of one batch, and how they are sent.
  struct Answer {
    noise::Endpoint back;
    ByteArray<noise::CookieReplyLayout::size> message{};
  };
  static constexpr std::size_t answers_max = noise::received_segments_max;
  // Of one family, before the control thread and the other family have their turn.
  static constexpr std::size_t receives_max = 32;
  // A flood begins with so many within a window, and ends with a window of fewer than a fifth.
  static constexpr Duration window = std::chrono::milliseconds{100};
  static constexpr std::uint64_t flood_begins = 500;
  static constexpr std::uint64_t flood_ends = flood_begins / 5;
  struct Sending {
    std::array<NativeAddress, answers_max> names;
    std::array<SendControl, answers_max> controls;
    std::array<iovec, answers_max> payloads;
    std::array<mmsghdr, answers_max> messages;
  };

  explicit Door(const DoorSetup& setup) noexcept;
  [[nodiscard]] Status open() noexcept;
  template <typename Task>
  void call(Task&& task) noexcept;

  [[nodiscard]] Status start_thread(pthread_t& thread, void* (*function)(void*)) noexcept;

  // --- either thread ---
  [[nodiscard]] bool take_door() noexcept;
  void leave_door() noexcept;

  // --- the first ---
  static void* enter(void* self) noexcept;
  void serve() noexcept;
  void wait() noexcept;

  // --- the second ---
  static void* enter_flood(void* self) noexcept;
  void serve_flood() noexcept;

  // --- who has the door ---
  // True: there is more.
  bool receive(Incoming& in) noexcept;
  void note_arrivals(std::uint64_t count, bool drained) noexcept;
  void judge_all(const noise::Wild& wild, int fd) noexcept;
  void judge(Bytes datagram, const noise::Wild& wild) noexcept;
  template <typename Item>
  void give(const Item& item) noexcept;
  void describe(std::size_t answer) noexcept;
  void send_answers(int fd) noexcept;

  DoorSetup setup_;
  HandOver& ring_;
  Region room_;  // of the gate: its secrets are kept as those of the core
  noise::InitiationGate* gate_ = nullptr;
  Wake wake_;
  PacketMemory memory_;  // before the pool: it outlives it
  std::array<std::uint32_t, receives_max> free_list_{};
  std::optional<SlotPool> pool_;
  UdpReceiver receiver_;
  Inbox inbox_;
  FixedVector<Answer, answers_max> answers_;
  Sending sending_;
  EngineCounters counters_;
  std::array<Incoming, 2> incoming_;   // v4, v6
  std::array<int, 2> polled_{-1, -1};  // their descriptors, for the first thread
  bool gave_ = false;                  // of this batch
  Now now_{};
  Instant window_began_{};
  std::uint64_t arrived_ = 0;  // in this window

  pthread_t thread_{};
  pthread_t flood_thread_{};
  bool started_ = false;
  bool flood_started_ = false;
  bool owes_a_look_ = false;         // the first thread was woken and did not get the door
  std::uint64_t turn_arrivals_ = 0;  // in the latest turn of the first
  std::atomic<bool> stop_{false};
  std::atomic<bool> taken_{false};
  std::atomic<bool> wanted_{false};      // the first found it taken: the second is to pause
  std::atomic<std::uint32_t> flood_{0};  // 1: the second thread reads as well
  std::atomic<bool> flood_ready_{false};
  TaskSlot<Door> tasks_;
};

}  // namespace wgring::tun

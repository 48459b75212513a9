// Door: the two threads that read what strangers send, few by the one, a flood by the other.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <poll.h>
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
#include "tun/udp_group.hpp"
#include "tun/wake.hpp"

namespace wgring::tun {

struct DoorSetup {
  MemorySource memory;
  noise::Entropy entropy;
  noise::IndexMark mark;
  // Of all shards, of which the first gets whom is let in; the door is the last giver of each. A
  // loan until the door is destroyed.
  std::span<Inlet> inlets;
};

// The one has the usual priority, and sleeps until somebody comes. A flood beside data it leaves to
// the other, which gets what processors are idle for (SCHED_IDLE). Where none is, and that one got
// nothing for 4 ms, it takes a batch itself, so that it goes on. What is not read in time is lost
// in the socket's buffer (door_dropped). One at a time has the door. Who stands still with it for 8
// ms, and does not get on, is lifted to the usual priority for a turn.
// Owner: the control thread, and the thread of all calls here.
class Door {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Door>> start(const DoorSetup& setup) noexcept;
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;
  ~Door();

  // Its sockets are a loan until they are replaced; on return none of the old ones is in use.
  // nullptr: none, as with a group that has no door.
  void set_sockets(const UdpGroup* group) noexcept;
  // As InitiationGate::set_mac_keys().
  void set_mac_keys(const std::optional<noise::MacKeys>& ours) noexcept;
  // What came before is with the shard on return, or lost.
  void settle() noexcept;
  // What came here, went from here and was lost here is added.
  void add_stats(ShardStats& to) noexcept;

 private:
  // What became of the first's turn: it had the door, or the other gets on without it, or gets on
  // and is to make room, or does not.
  enum class Look : std::uint8_t { done, needless, owed, stuck };
  struct Incoming {
    int fd = -1;
    std::uint32_t kernel_drops = 0;
    bool is_ready = false;
  };
  // Cookie replies of one batch, and how they are sent.
  struct Answer {
    noise::Endpoint back;
    ByteArray<noise::CookieReplyLayout::size> message{};
  };
  static constexpr std::size_t answers_max = noise::received_segments_max;
  // Datagrams or trains of them, in one turn; of one socket, if others have something too.
  static constexpr std::size_t receives_max = 32;
  static constexpr std::size_t receives_min = 8;
  static constexpr std::size_t sockets_max = std::size_t{2} * UdpGroup::door_count;
  // A flood begins with so many within a window, and ends with a window of fewer than a fifth.
  static constexpr Duration window = std::chrono::milliseconds{100};
  static constexpr std::uint64_t flood_begins = 500;
  static constexpr std::uint64_t flood_ends = flood_begins / 5;
  // In a flood: who is in the line of it is in another one at the next try, five seconds later.
  static constexpr Duration lines_last = std::chrono::seconds{4};
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

  void take_socket(int fd) noexcept;
  [[nodiscard]] Status start_thread(pthread_t& thread, void* (*function)(void*)) noexcept;

  // --- either thread ---
  [[nodiscard]] bool take_door() noexcept;
  void leave_door() noexcept;

  // --- the first ---
  static void* enter(void* self) noexcept;
  void serve() noexcept;
  void wait() noexcept;
  [[nodiscard]] bool progressed() noexcept;
  void note_look(Look look) noexcept;
  void lift_other() noexcept;

  // --- the second ---
  static void* enter_flood(void* self) noexcept;
  void serve_flood() noexcept;

  // --- who has the door ---
  [[nodiscard]] bool receive_all() noexcept;
  [[nodiscard]] std::size_t look_for_more() noexcept;
  [[nodiscard]] std::size_t list_sockets(std::span<pollfd, sockets_max> to) const noexcept;
  [[nodiscard]] bool receive(Incoming& in, std::size_t share) noexcept;
  void note_arrivals(std::uint64_t count, bool more) noexcept;
  void share_reading() noexcept;
  [[nodiscard]] bool beside_data() const noexcept;
  void judge_all(const noise::Wild& wild, int fd) noexcept;
  void judge(Bytes datagram, const noise::Wild& wild) noexcept;
  void give_stray(std::uint32_t index, Bytes datagram, const noise::Wild& wild) noexcept;
  template <typename Item>
  [[nodiscard]] bool give(std::uint32_t shard, const Item& item) noexcept;
  void publish() noexcept;
  void describe(std::size_t answer) noexcept;
  void send_answers(int fd) noexcept;

  DoorSetup setup_;
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
  FixedVector<Incoming, sockets_max> incoming_;  // the first thread changes it
  std::size_t next_incoming_ = 0;
  const UdpGroup* group_ = nullptr;  // as incoming_
  Instant lines_drawn_{};
  std::uint64_t copies_ = 0;  // in this turn, of what the shards have too
  std::uint32_t given_ = 0;   // in this batch, a bit for each shard
  Now now_{};
  Instant window_began_{};
  std::uint64_t arrived_ = 0;  // in this window
  bool is_flood_ = false;

  pthread_t thread_{};
  pthread_t flood_thread_{};
  bool started_ = false;
  bool flood_started_ = false;
  bool is_set_back_ = false;  // the second has SCHED_IDLE
  bool owes_a_look_ = false;  // the first did not get the door, and wants it
  unsigned looks_stuck_ = 0;
  std::uint32_t progress_seen_ = 0;
  std::uint64_t turn_arrivals_ = 0;  // in the latest turn of the first
  std::atomic<bool> stop_{false};
  std::atomic<bool> taken_{false};
  std::atomic<bool> wanted_{false};         // the first found it taken: the second is to pause
  std::atomic<bool> lifted_{false};         // the second has the usual priority, and is to leave it
  std::atomic<std::uint32_t> flood_{0};     // 1: the second thread reads
  std::atomic<std::uint32_t> progress_{0};  // looks, and what came: of both
  std::atomic<bool> flood_ready_{false};
  TaskSlot<Door> tasks_;
};

}  // namespace wgring::tun

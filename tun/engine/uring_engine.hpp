// UringEngine: one io_uring for everything the shard waits for, and for all it sends.
//
// Receiving: per descriptor one operation waits in the ring. That of a socket stays there and puts
// datagrams into slots lent to it (ReceiveRing), until it has used them all; that of TUN brings one
// packet. What has piled up behind is read directly, until the batch is full. With several
// operations waiting on one descriptor each packet would wake them all, and the losers end up in
// worker threads, where order is lost.
// Effects (what the core wants sent and delivered) never wait, so each is done, in the order of
// submission, when the call that took it returns; only a failure says so by a completion. Writes
// to TUN go by the ring, all of a turn in one system call. A lone datagram of a quiet turn does
// too, and then the same call goes to sleep; several are one sendmmsg, which is what stops at the
// first that the kernel refuses.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <liburing.h>

#include "tun/alarm.hpp"
#include "tun/engine/engine.hpp"
#include "tun/engine/receive_ring.hpp"
#include "tun/engine/send_queue.hpp"
#include "tun/engine/tun_reader.hpp"
#include "tun/engine/udp_receiver.hpp"
#include "tun/engine/uring_setup.hpp"

namespace wgring::tun {

// What the ring holds at a time. A turn that wants more entries is taken in several calls, and
// completions that find no room wait in the kernel (NODROP).
struct UringSize {
  unsigned entries;
  unsigned completions;
};
// A whole turn of the usual kind: one write per packet of a batch, doorbells; and every write of an
// outbox may fail and say so before anyone looks.
inline constexpr UringSize usual_uring_size{.entries = 512, .completions = 4096};
static_assert(usual_uring_size.completions >= noise::Outbox::inners_max + 64);

class UringEngine {
 public:
  // Another size is for tests of what happens when the ring is full.
  explicit UringEngine(UringForm form = UringForm::full, UringSize size = usual_uring_size) noexcept
      : form_(form), size_(size) {}
  UringEngine(const UringEngine&) = delete;
  UringEngine& operator=(const UringEngine&) = delete;
  ~UringEngine();

  [[nodiscard]] Status open(const EngineSetup& setup) noexcept;
  void set_sockets(const UdpPair* sockets) noexcept;
  void arm() noexcept;
  void submit(noise::Outbox& outbox) noexcept;
  void reap(Inbox& inbox) noexcept;
  [[nodiscard]] bool may_sleep() const noexcept;
  void wait(Instant deadline) noexcept;
  [[nodiscard]] const EngineCounters& counters() const noexcept { return counters_; }

 private:
  enum class Kind : std::uint8_t { tun, receive, send, writable, write, wake, alarm, cancel };

  // One operation that is in the ring at most once at a time. `generation` tells a completion of
  // this life from one of an earlier life, which would be a bug.
  struct Operation {
    bool in_flight = false;
    bool done = false;  // completed, not yet reaped
    int result = 0;
    std::uint32_t generation = 0;
  };
  struct Receive {
    Operation operation;
    FixedVector<std::uint8_t, ReceiveRing::slots_max> arrived;  // ids of the receive ring
    std::size_t stale = 0;          // the first of those: from a socket that has been replaced
    std::uint32_t stale_drops = 0;  // that one's kernel_drops
    bool more = false;              // there may be more than the ring has brought
    bool barren = false;  // the last one ended without a datagram: the next is asked for first
  };
  struct Socket {
    int fd = -1;
    bool full = false;  // EAGAIN: nothing is sent until the socket is writable
    bool closing = false;
    bool head_in_ring = false;  // the head of the queue, as the batch describes it
    int head_result = 0;
    std::uint32_t kernel_drops = 0;
    Receive receive;
    SendBatch batch;
    Operation writable;
    SendQueue queue;
  };
  // What one outbox gave TUN: its slots stay until the ring has taken all writes.
  struct Delivery {
    WritePlan plan;
    FixedVector<Slot, noise::Outbox::delivers_max> slots;
    std::uint32_t packets = 0;  // of the writes that have not failed
    std::uint32_t super_packets = 0;
    std::uint32_t generation = 0;
  };
  // A turn of so few packets is a quiet one: its effects wait for the next call of the kernel,
  // which is the one that sleeps.
  static constexpr std::size_t quiet_packets_max = 2;
  // After a look behind a packet of TUN that found nothing, so many are taken to be alone: the next
  // READ is the look.
  static constexpr unsigned lone_packets_max = 3;

  // --- ring ---
  [[nodiscard]] io_uring_sqe* next_entry() noexcept;
  void label(io_uring_sqe* entry, Kind kind, std::size_t index, std::uint32_t generation) noexcept;
  void start(Operation& operation, io_uring_sqe* entry, Kind kind, std::size_t index) noexcept;
  void cancel(const Operation& operation, Kind kind, std::size_t index) noexcept;
  void enter(unsigned wait_for) noexcept;
  std::uint32_t process() noexcept;  // completions that there were
  void complete(const io_uring_cqe& completion) noexcept;
  void finish(Operation& operation, std::uint32_t generation, int result) noexcept;
  void clear_alarm() noexcept;
  [[nodiscard]] std::size_t in_flight(bool all) const noexcept;
  void drain(bool all) noexcept;

  // --- out ---
  void flush(unsigned wait_for) noexcept;
  [[nodiscard]] bool failures_wait() const noexcept;
  void settle_effects() noexcept;
  void enqueue(noise::Transmit& transmit) noexcept;
  void pump(Socket& socket) noexcept;
  void send_by_ring(Socket& socket) noexcept;
  void settle_send(Socket& socket, int result) noexcept;
  void arm_writable(Socket& socket) noexcept;
  void deliver(noise::Outbox& outbox) noexcept;
  void prepare_write(std::size_t number) noexcept;
  void complete_write(std::size_t number, std::uint32_t generation, int result) noexcept;
  void write_directly(const WritePlan::Write& write) noexcept;
  void write_alone(const WritePlan::Write& write) noexcept;
  [[nodiscard]] long write_pieces(std::span<const iovec> pieces) noexcept;
  void settle_write(long result, std::uint32_t packets) noexcept;

  // --- in ---
  void arm_tun() noexcept;
  void name_tun(io_uring_sqe* entry) const noexcept;
  void arm_receive(std::size_t family) noexcept;
  void reap_tun(Inbox& inbox) noexcept;
  void complete_receive(Socket& socket, const io_uring_cqe& completion) noexcept;
  void take_arrived(Socket& socket, Inbox& inbox) noexcept;
  void receive_more(Socket& socket, Inbox& inbox) noexcept;
  void end_tun() noexcept;

  [[nodiscard]] std::size_t family_of(const Socket& socket) const noexcept {
    return &socket == &sockets_[0] ? 0 : 1;
  }

  UringForm form_;
  UringSize size_;
  EngineSetup setup_;
  io_uring ring_{};
  bool open_ = false;
  bool broken_ = false;  // the ring itself refuses to be entered
  Alarm alarm_;
  std::array<Socket, 2> sockets_;  // v4, v6
  Delivery delivery_;
  JoinGate gate_;
  std::size_t cancels_in_flight_ = 0;
  Operation tun_;
  Operation wake_;
  Operation alarm_operation_;
  ReceiveRing receive_ring_;
  UdpReceiver receiver_;
  TunReader reader_;
  EngineCounters counters_;
  Notes notes_;              // for the next reap
  bool tun_polled_ = false;  // the kernel does not let a READ wait: ask by POLL_ADD first
  bool tun_more_ = false;
  unsigned lone_packets_ = 0;  // to come
  bool tun_registered_ = false;
  bool tun_ended_ = false;
  bool fresh_ = false;  // wait() has just looked
  bool quiet_ = false;  // the last batch was small
  bool sends_by_ring_ = false;
  bool writes_by_ring_ = false;
  bool v6_first_ = false;
};

static_assert(Engine<UringEngine>);

}  // namespace wgring::tun

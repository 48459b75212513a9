// EpollEngine: recvmmsg, sendmmsg, read and write, told by epoll when. Runs on any kernel.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tun/alarm.hpp"
#include "tun/engine/engine.hpp"
#include "tun/engine/send_queue.hpp"
#include "tun/engine/tun_reader.hpp"
#include "tun/engine/udp_receiver.hpp"
#include "tun/fd.hpp"

namespace wgring::tun {

// Level-triggered: what one turn leaves is reported again, so a batch may end anywhere; but for the
// door, which is watched anew when it was found empty, so that those who wait there wake nobody.
// What is known to be readable is read without asking; epoll is asked once per turn for the rest.
class EpollEngine {
 public:
  EpollEngine() noexcept = default;
  EpollEngine(const EpollEngine&) = delete;
  EpollEngine& operator=(const EpollEngine&) = delete;

  [[nodiscard]] Status open(const EngineSetup& setup) noexcept;
  void set_sockets(const UdpPair* sockets, const UdpPair* door) noexcept;
  void arm(std::size_t strangers_max) noexcept;
  void submit(noise::Outbox& outbox) noexcept;
  void reap(Inbox& inbox) noexcept;
  [[nodiscard]] bool may_sleep() const noexcept;
  [[nodiscard]] bool strangers_wait() const noexcept {
    return doors_[0].readable || doors_[1].readable;
  }
  void wait(Instant deadline) noexcept;
  [[nodiscard]] const EngineCounters& counters() const noexcept { return counters_; }

 private:
  enum class Source : std::uint32_t { tun, v4, v6, door_v4, door_v6, wake, alarm };
  struct Incoming {
    int fd = -1;
    bool readable = false;
    std::uint32_t kernel_drops = 0;
  };
  struct Socket {
    Incoming in;
    bool full = false;  // EAGAIN: nothing is sent until EPOLLOUT
    SendQueue queue;
  };

  [[nodiscard]] Status watch(int fd, Source source, std::uint32_t events) noexcept;
  void watch_writable(Socket& socket, bool wanted) noexcept;
  void ask(int timeout_ms) noexcept;
  void note(std::uint32_t events, Source source) noexcept;
  void enqueue(noise::Transmit& transmit) noexcept;
  void pump(Socket& socket) noexcept;
  void deliver(noise::Outbox& outbox) noexcept;
  void write(const WritePlan::Write& write) noexcept;
  [[nodiscard]] long write_pieces(std::span<const iovec> pieces) noexcept;
  void settle_write(long result, std::uint32_t packets) noexcept;
  void set_door(const UdpPair* door) noexcept;
  void receive(Incoming& in, std::size_t full, std::uint64_t& dropped, Inbox& inbox) noexcept;
  void receive_strangers(std::size_t family, Inbox& inbox) noexcept;
  void read_tun(Inbox& inbox) noexcept;
  void end_tun() noexcept;

  EngineSetup setup_;
  Fd epoll_;
  Alarm alarm_;
  std::array<Socket, 2> sockets_;  // v4, v6
  std::array<Incoming, 2> doors_;  // likewise
  SendBatch batch_;
  WritePlan plan_;
  JoinGate gate_;
  UdpReceiver receiver_;
  TunReader reader_;
  EngineCounters counters_;
  Notes notes_;  // for the next reap
  bool tun_readable_ = false;
  bool tun_ended_ = false;
  bool asked_ = false;  // epoll has been asked in this turn
  bool v6_first_ = false;
  bool door_v6_first_ = false;
  std::size_t strangers_max_ = 0;
};

static_assert(Engine<EpollEngine>);

}  // namespace wgring::tun

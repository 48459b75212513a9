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

// Level-triggered: what one turn leaves is reported again, so a batch may end anywhere.
// What is known to be readable is read without asking; epoll is asked once per turn for the rest.
class EpollEngine {
 public:
  EpollEngine() noexcept = default;
  EpollEngine(const EpollEngine&) = delete;
  EpollEngine& operator=(const EpollEngine&) = delete;

  [[nodiscard]] Status open(const EngineSetup& setup) noexcept;
  void set_sockets(const UdpPair* sockets) noexcept;
  void arm() noexcept;
  void submit(noise::Outbox& outbox) noexcept;
  void reap(Inbox& inbox) noexcept;
  [[nodiscard]] bool may_sleep() const noexcept;
  void wait(Instant deadline) noexcept;
  [[nodiscard]] const EngineCounters& counters() const noexcept { return counters_; }

 private:
  enum class Source : std::uint32_t { tun, v4, v6, wake, alarm };
  struct Socket {
    int fd = -1;
    bool watched = false;  // by epoll
    bool readable = false;
    std::uint32_t kernel_drops = 0;
    bool full = false;  // EAGAIN: nothing is sent until EPOLLOUT
    SendQueue queue;
  };

  static constexpr int unwatched_look_ms = 10;

  [[nodiscard]] Status watch(int fd, Source source) noexcept;
  void watch_sockets() noexcept;
  [[nodiscard]] bool all_watched() const noexcept;
  void watch_writable(Socket& socket, bool wanted) noexcept;
  void ask(int timeout_ms) noexcept;
  void note(std::uint32_t events, Source source) noexcept;
  void enqueue(noise::Transmit& transmit) noexcept;
  void pump(Socket& socket) noexcept;
  void deliver(noise::Outbox& outbox) noexcept;
  void write(const WritePlan::Write& write) noexcept;
  [[nodiscard]] long write_pieces(std::span<const iovec> pieces) noexcept;
  void settle_write(long result, std::uint32_t packets) noexcept;
  void receive(Socket& socket, Inbox& inbox) noexcept;
  void read_tun(Inbox& inbox) noexcept;
  void end_tun() noexcept;

  EngineSetup setup_;
  Fd epoll_;
  Alarm alarm_;
  std::array<Socket, 2> sockets_;  // v4, v6
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
};

static_assert(Engine<EpollEngine>);

}  // namespace wgring::tun

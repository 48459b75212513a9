// Joiner: runs of one flow among delivered packets become super-packets for TUN (GRO in reverse
// of TSO and USO). No payload moves: a run is its first packet and the payloads of the others,
// written with one gathered write.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.hpp"
#include "base/fixed_vector.hpp"
#include "noise/batch.hpp"
#include "noise/vnet_header.hpp"

namespace wgring::tun {

// What the TUN at hand takes; found out by trying (tun/offload/probe).
struct JoinPolicy {
  bool tcp = false;
  bool udp = false;
  [[nodiscard]] bool any() const noexcept { return tcp || udp; }
};

// Order: runs come out in the order in which they began; a packet joins only the latest run of its
// flow, so no flow is ever reordered. What is never joined: fragments, IPv4 options, IPv6 extension
// headers, TCP flags other than ACK and PSH, packets without payload, other protocols, and what is
// for the kernel's own UDP tunnels. What cannot be looked into ends all runs before it.
// Checksums of joined packets are not verified: the tag vouches for them, as in the kernel.
class Joiner {
 public:
  static constexpr std::size_t packets_max = noise::train_segments_max;

  // What finish() wrote over in a run's first packet, and where.
  struct Undo {
    std::uint32_t headers_bytes = 0;
    std::uint32_t transport_at = 0;
    bool tcp = false;
    std::uint8_t tcp_flags = 0;
    std::uint16_t checksum = 0;  // as it stood in the packet
  };
  // `first` is the first packet of a run after finish(), at its own length: makes it what it was.
  static void restore(MutableBytes first, const Undo& undo) noexcept;

  explicit Joiner(JoinPolicy policy) noexcept : policy_(policy) {}
  // While it is empty.
  void set_policy(JoinPolicy policy) noexcept { policy_ = policy; }

  // The packet is a loan until clear(); headers of a run's first packet are rewritten by finish().
  // At most packets_max between two clear() calls.
  void add(MutableBytes packet) noexcept;
  // Completes the headers of all runs. Afterwards runs() and pieces are final.
  void finish() noexcept;
  void clear() noexcept;

  [[nodiscard]] std::size_t room() const noexcept { return packets_.room(); }
  [[nodiscard]] std::size_t run_count() const noexcept { return runs_.size(); }
  [[nodiscard]] const noise::VnetHeader& header(std::size_t run) const noexcept {
    return runs_[run].header;
  }
  [[nodiscard]] std::size_t packet_count(std::size_t run) const noexcept {
    return runs_[run].count;
  }
  // Of a run of more than one packet, after finish().
  [[nodiscard]] const Undo& undo(std::size_t run) const noexcept { return runs_[run].undo; }
  // The pieces of a run in order: the first packet whole, then payloads. Calls visit(MutableBytes).
  template <typename Visit>
  void for_each_piece(std::size_t run, Visit&& visit) const noexcept {
    std::uint32_t at = runs_[run].first;
    for (std::uint32_t i = 0; i < runs_[run].count; ++i, at = packets_[at].next) {
      visit(packets_[at].bytes.subspan(i == 0 ? 0 : runs_[run].headers_bytes));
    }
  }

 private:
  enum class Transport : std::uint8_t { none, tcp, udp };

  // What is known of one packet after one look at its headers.
  struct Shape {
    Transport transport = Transport::none;
    bool v4 = true;
    bool joinable = false;  // may begin or continue a run
    std::uint32_t transport_at = 0;
    std::uint32_t headers_bytes = 0;
  };
  struct Packet {
    MutableBytes bytes;
    std::uint32_t next = 0;
  };
  struct Run {
    noise::VnetHeader header;
    Shape shape;
    std::uint32_t first = 0;  // packets, linked by next
    std::uint32_t last = 0;
    std::uint32_t count = 0;
    std::uint32_t headers_bytes = 0;
    std::uint32_t segment_bytes = 0;  // payload of all but the last
    std::uint32_t payload_bytes = 0;  // of all
    bool closed = false;
    bool push = false;
    Undo undo;
  };

  [[nodiscard]] Shape look(Bytes packet) const noexcept;
  [[nodiscard]] Shape look_transport(Bytes packet, Shape shape,
                                     std::uint8_t protocol) const noexcept;
  [[nodiscard]] Run* latest_of_flow(Bytes packet, const Shape& shape) noexcept;
  [[nodiscard]] bool same_flow(const Run& run, Bytes packet, const Shape& shape) const noexcept;
  [[nodiscard]] bool continues(const Run& run, Bytes packet) const noexcept;
  [[nodiscard]] bool tcp_continues(const Run& run, Bytes packet) const noexcept;
  [[nodiscard]] Bytes first_packet(const Run& run) const noexcept {
    return packets_[run.first].bytes;
  }
  void close_all() noexcept;
  void finish_run(Run& run) noexcept;

  JoinPolicy policy_;
  FixedVector<Packet, packets_max> packets_;
  FixedVector<Run, packets_max> runs_;
};

}  // namespace wgring::tun

// World: hosts, a network between them, one clock. Nothing in it is real but the Devices.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "tests/sim/checks.hpp"
#include "tests/sim/host.hpp"
#include "tests/sim/network.hpp"

namespace wgring::sim {

struct WorldOptions {
  std::uint64_t seed = 1;
  bool keep_log = true;                                 // of every datagram; off for long runs
  noise::JobRunner runner{};                            // of every host's cipher work
  std::size_t packet_slots = HostSetup{}.packet_slots;  // each; with fewer it is faster
};

// One read of a TUN.
struct TunRead {
  std::vector<std::uint8_t> packet;
  noise::VnetHeader offload{};
};

// How a peer is set up by World::add_peer().
struct PeerOptions {
  noise::Family endpoint = noise::Family::v4;  // none: without
  std::uint16_t persistent_keepalive_s = 0;
  const crypto::Secret<32>* preshared_key = nullptr;
};

class World {
 public:
  explicit World(const WorldOptions& options = {});

  // --- hosts: up, with a key of their own, tunnel address number = position + 1 ---
  Host& add_host(bool up = true);
  [[nodiscard]] Host& host(std::size_t position) { return *hosts_[position]; }
  [[nodiscard]] std::size_t host_count() const noexcept { return hosts_.size(); }
  [[nodiscard]] Now now_of(const Host& host) const noexcept {
    return {.boottime = now_, .realtime = WallTime{wall_start + elapsed() + host.wall_offset}};
  }
  [[nodiscard]] Instant now() const noexcept { return now_; }
  [[nodiscard]] Duration elapsed() const noexcept { return now_ - start; }
  [[nodiscard]] std::uint64_t datagrams_sent() const noexcept { return next_datagram_; }

  // --- configuration ---
  void set_link(Host& host, bool up);
  void set_key(Host& host, const crypto::Secret<32>& key);
  void set_mtu(Host& host, std::uint32_t mtu_bytes);
  void apply(Host& host, const noise::PeerUpdate& update);
  // `peer` with its own tunnel addresses, reachable where it is now.
  void add_peer(Host& on, const Host& peer, const PeerOptions& options = {});
  void remove_peer(Host& on, const crypto::PublicKey& key);
  // Nothing is expected from `on` for the host at that position any more.
  void forget_routes(Host& on, std::size_t position);
  // Tunnel address `number` of both families belongs to `peer` from now on.
  void allow(Host& on, const Host& peer, std::uint16_t number);
  void disallow(Host& on, const Host& peer, std::uint16_t number);
  void set_endpoint(Host& on, const Host& peer, noise::Family family);

  // --- traffic ---
  // spec.number is given here; the expected receiver is who owns spec.to now.
  std::uint32_t send(Host& from, InnerSpec spec);
  // Several in one on_tun call.
  void send_batch(Host& from, std::span<const InnerSpec> specs);
  // `count` packets of spec, which is UDP, as one read of a TUN with offloads.
  void send_super(Host& from, InnerSpec spec, std::uint32_t count, std::uint32_t last_bytes);
  // Any bytes at all, as one read of the TUN.
  void send_raw(Host& from, Bytes packet, noise::VnetHeader offload = {});
  // At most plain_batch_max of them, in one on_tun call if they fit.
  void send_reads(Host& from, std::span<const TunRead> reads);
  // To the Device at once, as one batch: joined to trains where sizes and sources allow, or not.
  void receive(Host& at, std::span<const Datagram> datagrams, bool as_trains = false);

  // --- time ---
  void run_until(Instant end);
  void run_for(Duration duration) { run_until(now_ + duration); }
  // All deadlines that are due now.
  void serve_deadlines(Host& host);
  // What must hold between two steps: every packet and slot accounted for, no deadline missed.
  void settle();
  // Everything down: nothing may be staged, owed or missing after it.
  void finish();

  Network network;
  Checks checks;
  std::vector<Datagram> log;
  std::vector<std::vector<std::uint8_t>> foreign;  // delivered packets that are not of make_inner()
  Duration deadline_slack{};                       // how late a Device may be called
  bool join_arrivals = false;                      // arrivals of one instant come as one batch
  std::uint64_t digest = 0;                        // of all effects of all Devices, in order

  static constexpr Instant start{std::chrono::seconds{1'000}};
  static constexpr Duration wall_start = std::chrono::seconds{1'800'000'000};

 private:
  enum class Cause { udp, tun, other };
  // Enters a packet that `from` is about to send into the ledger.
  void note_sent(const Host& from, InnerSpec& spec);
  void drain(Host& host, Cause cause);
  void digest_effects(const noise::Outbox& outbox);
  void drain_transmits(Host& host);
  void drain_delivers(Host& host, Cause cause);
  void transmit(Host& host, Datagram datagram);
  void arrivals_due();
  [[nodiscard]] Host* host_at(const noise::SocketAddress& address) noexcept;
  [[nodiscard]] Instant wake_of(const Host& host) const noexcept;
  [[nodiscard]] std::size_t owner(const Host& at, noise::Family family, std::uint16_t number) const;

  using RouteKey = std::tuple<std::size_t, noise::Family, std::uint16_t>;
  WorldOptions options_;
  Instant now_ = start;
  std::uint64_t next_datagram_ = 0;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::map<RouteKey, std::size_t> routes_;
  std::vector<std::uint32_t> delivered_now_;  // numbers that came out of the call being drained
};

}  // namespace wgring::sim

// Device: the whole WireGuard core, sans-IO. Bytes and Now in, effects and a deadline out.
#pragma once

#include <cstdint>
#include <span>

#include "base/memory_source.hpp"
#include "base/result.hpp"
#include "base/slot_pool.hpp"
#include "base/time.hpp"
#include "crypto/aead.hpp"
#include "noise/batch.hpp"
#include "noise/config.hpp"
#include "noise/drop.hpp"
#include "noise/entropy.hpp"
#include "noise/index_mark.hpp"
#include "noise/jobs.hpp"
#include "noise/outbox.hpp"
#include "noise/prefix_watch.hpp"

namespace wgring::noise {

class Core;  // the parts behind the door: noise/core.hpp

// Time counts as beside data for so long after a turn with data.
inline constexpr Duration data_holds = std::chrono::milliseconds{10};

enum class DeadlineReason : std::uint8_t { none, timer, handshake_queue, backlog };

// `at` <= now means: call on_deadline() in this turn. `never`: nothing is due, sleep on packets.
struct Deadline {
  Instant at = never;
  DeadlineReason reason = DeadlineReason::none;
};

struct DeviceSetup {
  MemorySource memory;
  Entropy entropy;
  const crypto::Aead* aead = nullptr;
  SlotPool* train_pool = nullptr;   // slots of at least train_bytes_max + 32
  SlotPool* packet_pool = nullptr;  // slots of at least 2048: handshakes, staged packets
  std::uint32_t shard = 0;          // of 2^shard_bits, see shard_of(); low bits of receiver indices
  std::uint32_t shard_bits = 0;     // up to shard_bits_max
  IndexMark mark;                   // of all shards; what filters the sockets knows it
  Now now;                          // the first turn's
  JobRunner runner{};               // who else may seal and open; default: nobody
  PrefixWatch prefixes{};           // who is told where prefixes live; default: nobody
};

// Owner: one shard. Thread: that shard's only. Order: every call takes the turn's Now, whose
// boottime never goes back (asserted). The Outbox is empty at each call (asserted) and drained
// before the next one. Lifetime: the pools outlive the Device and hold all its slots.
// No call allocates, except apply_peer() and reserve(), which commit memory of the source.
class Device {
 public:
  [[nodiscard]] static Result<Device> open(const DeviceSetup& setup) noexcept;
  Device(Device&&) noexcept;
  Device& operator=(Device&&) noexcept;
  ~Device();

  // --- packets ---
  // At most wild_batch_max; the slots of the batch are taken or returned to their pool.
  void on_udp(std::span<Wild> batch, Now now, Outbox& outbox) noexcept;
  // At most plain_batch_max. Returns how many of the first were taken, at least one: the others do
  // not fit this turn's trains and wait for a call of their own, after the outbox was drained.
  [[nodiscard]] std::size_t on_tun(std::span<const Plain> batch, Now now, Outbox& outbox) noexcept;
  // At most handshakes_per_turn, of another shard's outbox or let in at the door.
  void on_initiations(std::span<const HandedInitiation> batch, Now now, Outbox& outbox) noexcept;
  // Timers that are due and work put off from earlier turns. Early is harmless, late is correct.
  void on_deadline(Now now, Outbox& outbox) noexcept;
  [[nodiscard]] Deadline next_deadline() const noexcept;
  // Since authentic data last moved, and data_holds longer; by the time of turns.
  [[nodiscard]] Instant data_until() const noexcept;
  // From then on initiations of strangers come by on_initiations(), and are not taken otherwise.
  // Instant::max(): there is no door.
  void set_door(Instant from) noexcept;

  // --- state of the interface ---
  // Starts down. Down: packets are dropped, keys and staged packets wiped, timers stopped.
  void set_link(bool up, Now now, Outbox& outbox) noexcept;
  void set_mtu(std::uint32_t mtu_bytes) noexcept;
  // Sticky sources of all peers are forgotten: the port or the fwmark changed.
  void forget_sources() noexcept;
  // Of those that have this one: the kernel refused it.
  void forget_sources(const LocalSource& refused) noexcept;
  // Of this peer, if it is still the one that was seen.
  void forget_source(const PeerEndpoint& seen) noexcept;

  // --- configuration (protocol section 19); between batches, takes effect at once ---
  // All zero removes the identity. The same key again is a no-op.
  void set_private_key(const crypto::Secret<32>& key, Now now, Outbox& outbox) noexcept;
  // To all peers what waits for them; a session is begun where there is none. After a first private
  // key, and all that came with it.
  void send_all_staged(Now now, Outbox& outbox) noexcept;
  // False: no room for so many more peers or prefixes; nothing changed. After true the following
  // updates up to those numbers cannot fail. Present::leaves: all that are there now will have
  // been removed by then, so that the numbers are the whole.
  [[nodiscard]] bool reserve(std::uint32_t peers, std::uint32_t prefixes,
                             Present present = Present::stays) noexcept;
  // ENOMEM (nothing of this update applied) or success.
  [[nodiscard]] Status apply_peer(const PeerUpdate& update, Now now, Outbox& outbox) noexcept;
  // Removes up to `peers_max_now` peers, oldest first; true when none is left.
  [[nodiscard]] bool remove_peers(std::uint32_t peers_max_now) noexcept;

  // --- reading ---
  [[nodiscard]] bool has_identity() const noexcept;
  [[nodiscard]] const crypto::Secret<32>& private_key() const noexcept;  // clamped
  [[nodiscard]] const crypto::PublicKey& public_key() const noexcept;
  [[nodiscard]] std::uint32_t peer_count() const noexcept;
  // The first peer in insertion order with a serial greater than `after_serial`; false: none.
  [[nodiscard]] bool next_peer(std::uint64_t after_serial, PeerStatus& status) const noexcept;
  // The same, only where it is.
  [[nodiscard]] bool next_endpoint(std::uint64_t after_serial, PeerEndpoint& found) const noexcept;
  // Prefixes of a peer in order of insertion, up to out.size(); returns how many were written.
  [[nodiscard]] std::size_t prefixes_of(std::uint64_t serial, std::span<Prefix> out) const noexcept;
  [[nodiscard]] const DropCounters& drops() const noexcept;
  // Handshake messages whose turn has not come.
  [[nodiscard]] std::size_t handshakes_waiting() const noexcept;

 private:
  friend struct CoreTestAccess;  // tests: internals by name

  explicit Device(Core* core) noexcept;
  Core* core_;
};

}  // namespace wgring::noise

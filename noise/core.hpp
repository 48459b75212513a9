// Core: the parts behind Device and how they work on each other. One file per concern:
// core_send.cpp (11, 15, 16), core_receive.cpp (12), core_handshake.cpp (6, 9),
// core_timers.cpp (14), core_config.cpp (19). Numbers are the protocol's sections.
// core_divided.cpp: the same sending and receiving where the cipher work is for several.
#pragma once

#include <cstdint>

#include "base/region.hpp"
#include "base/result.hpp"
#include "noise/allowed_ips.hpp"
#include "noise/cookie_checker.hpp"
#include "noise/deadline_heap.hpp"
#include "noise/device.hpp"
#include "noise/handshake_queues.hpp"
#include "noise/identity.hpp"
#include "noise/index_table.hpp"
#include "noise/keypair.hpp"
#include "noise/open_batch.hpp"
#include "noise/peer_table.hpp"
#include "noise/seal_batch.hpp"
#include "noise/shard_of.hpp"
#include "noise/token_bucket.hpp"
#include "noise/train_builder.hpp"

namespace wgring::noise {

// Work of one turn that is bounded so that data never waits long for handshakes: a message costs
// a BLAKE2s, one that is processed costs several scalar multiplications (some 40 us each).
inline constexpr std::uint32_t handshake_messages_per_turn = 16;
// Beside data: a tenth of a processor, the answer of a cookie being some 10 us, most of them the
// kernel's.
inline constexpr std::int64_t handshake_messages_beside_data_per_s = 10'000;
// Of those without a cookie, which cost scalar multiplications: with more there is load.
inline constexpr std::int64_t cookieless_handshakes_beside_data_per_s = 1'000;

// The turn in progress: its time, its outbox, and what it may still spend.
struct Turn {
  Turn(Now when, Outbox& effects, const Pools& pools, std::uint64_t number) noexcept
      : now(when), outbox(effects), trains(effects, pools, number) {}

  Now now;
  Outbox& outbox;
  TrainBuilder trains;
  std::uint32_t handshakes_left = handshakes_per_turn;
  OpenBatch* opened = nullptr;    // what was opened ahead, if anything
  bool source_is_proved = false;  // by authentic data in this train

  void event(EventKind kind, PeerId peer) noexcept {
    if (outbox.events.room() > 0) {
      outbox.events.push_back(Event{.kind = kind, .peer_id = peer});
    }
  }
};

class SealRun;

class Core {
 public:
  explicit Core(const DeviceSetup& setup) noexcept;
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;
  [[nodiscard]] Status open() noexcept;

  // Device's own calls; see there.
  void on_udp(std::span<Wild> batch, Now now, Outbox& outbox) noexcept;
  [[nodiscard]] std::size_t on_tun(std::span<const Plain> batch, Now now, Outbox& outbox) noexcept;
  void on_initiations(std::span<const HandedInitiation> batch, Now now, Outbox& outbox) noexcept;
  void on_deadline(Now now, Outbox& outbox) noexcept;
  [[nodiscard]] Deadline next_deadline() const noexcept;
  [[nodiscard]] bool beside_data() const noexcept { return now_.boottime < data_until_; }
  // Since authentic data last moved, and a little longer.
  [[nodiscard]] Instant data_until() const noexcept { return data_until_; }
  void set_door(Instant from) noexcept { door_from_ = from; }
  void set_link(bool up, Now now, Outbox& outbox) noexcept;
  void set_private_key(const crypto::Secret<32>& key, Now now, Outbox& outbox) noexcept;
  void send_all_staged(Now now, Outbox& outbox) noexcept;
  [[nodiscard]] bool reserve(std::uint32_t peers, std::uint32_t prefixes, Present present) noexcept;
  [[nodiscard]] Status apply_peer(const PeerUpdate& update, Now now, Outbox& outbox) noexcept;
  [[nodiscard]] bool remove_peers(std::uint32_t peers_max_now) noexcept;
  [[nodiscard]] bool next_peer(std::uint64_t after_serial, PeerStatus& status) const noexcept;
  [[nodiscard]] bool next_endpoint(std::uint64_t after_serial, PeerEndpoint& found) const noexcept;
  void forget_sources() noexcept;
  void forget_sources(const LocalSource& refused) noexcept;
  void forget_source(const PeerEndpoint& seen) noexcept;
  void set_mtu(std::uint32_t mtu_bytes) noexcept { mtu_bytes_ = mtu_bytes; }

  [[nodiscard]] const MemorySource& memory() const noexcept { return setup_.memory; }
  [[nodiscard]] const LocalIdentity& identity() const noexcept { return identity_; }
  [[nodiscard]] const PeerTable& peers() const noexcept { return peers_; }
  [[nodiscard]] const AllowedIps& allowed_ips() const noexcept { return allowed_ips_; }
  [[nodiscard]] const DropCounters& drops() const noexcept { return drops_; }
  [[nodiscard]] std::size_t handshakes_waiting() const noexcept { return handshakes_.count(); }

 private:
  friend class SealRun;
  friend struct CoreTestAccess;  // tests: counters near their limits, internals by name

  [[nodiscard]] bool lives_here(const Peer& peer) const noexcept {
    return peer.shard == setup_.shard;
  }

  // --- turns (core.cpp) ---
  [[nodiscard]] Turn begin_turn(Now now, Outbox& outbox) noexcept;
  void end_turn(Turn& turn) noexcept;
  void add_work(Peer& peer) noexcept;
  void want_initiation(Peer& peer) noexcept;
  void unwant_initiation(Peer& peer) noexcept;
  void drop_work(Peer& peer) noexcept;
  void drain_work(Turn& turn) noexcept;

  // --- sending (core_send.cpp) ---
  [[nodiscard]] bool fits_turn(const Plain& packet, const Turn& turn) const noexcept;
  void send_plain(const Plain& packet, SealRun& run, Turn& turn) noexcept;
  void send_split(Peer& peer, const Plain& packet, std::uint8_t ecn, SealRun& run,
                  Turn& turn) noexcept;
  void send_one(Peer& peer, const Plain& packet, std::uint8_t ecn, SealRun& run,
                Turn& turn) noexcept;
  void refuse(Drop reason, const Plain& packet, Turn& turn) noexcept;
  void hand_over(const Plain& packet, const Peer& peer, Turn& turn) noexcept;
  void stage(Peer& peer, const Plain& packet) noexcept;
  void send_staged(Peer& peer, Turn& turn) noexcept;
  void send_keepalive(Peer& peer, Turn& turn) noexcept;
  [[nodiscard]] bool flush(Peer& peer, Turn& turn) noexcept;
  [[nodiscard]] Keypair* usable_for_sending(Peer& peer, Instant now) noexcept;
  void keep_key_fresh_sending(Peer& peer, Turn& turn) noexcept;

  // --- receiving (core_receive.cpp) ---
  void receive_all(std::span<Wild> batch, Turn& turn) noexcept;
  void receive_train(Wild& wild, Turn& turn) noexcept;
  [[nodiscard]] std::uint32_t receive_data_run(Wild& wild, std::uint32_t offset,
                                               Turn& turn) noexcept;
  [[nodiscard]] Keypair* usable_for_receiving(std::uint32_t index, std::size_t packets, Instant now,
                                              KeypairId& id) noexcept;
  void receive_segments(KeypairId id, std::span<const crypto::OpenSegment> run, Wild& wild,
                        Turn& turn) noexcept;
  void receive_opened(Peer& peer, KeypairId id, MutableBytes plaintext, std::uint64_t counter,
                      Wild& wild, Turn& turn) noexcept;
  void deliver_inner(Peer& peer, MutableBytes plaintext, Wild& wild, Turn& turn) noexcept;
  void keep_key_fresh_receiving(Peer& peer, Turn& turn) noexcept;
  void move_endpoint(Peer& peer, const SocketAddress& source, const LocalSource& destination,
                     Turn& turn) noexcept;

  // --- divided (core_divided.cpp) ---
  // 0: the batch is not to be divided; else its bytes.
  template <typename Packet>
  [[nodiscard]] std::size_t bytes_to_divide(std::span<Packet> batch) const noexcept {
    const JobRunner& runner = setup_.runner;
    if (runner.worth == nullptr) {
      return 0;
    }
    std::size_t bytes = 0;
    for (const Packet& packet : batch) {
      bytes += packet.bytes;
    }
    return runner.worth(runner.context, bytes) ? bytes : 0;
  }
  void receive_divided(std::span<Wild> batch, std::size_t bytes, Turn& turn) noexcept;
  [[nodiscard]] bool open_ahead(Wild& wild, Instant now) noexcept;
  void receive_opened_run(const OpenBatch::Opened& run, Wild& wild, Turn& turn) noexcept;

  // --- handshakes (core_handshake.cpp) ---
  void queue_handshake(MessageType type, Bytes message, const Wild& wild, Turn& turn) noexcept;
  void process_handshakes(Turn& turn) noexcept;
  [[nodiscard]] bool may_process_handshake(Instant now) noexcept;
  void process_handshake(const QueuedHandshake& queued, bool under_load, Turn& turn) noexcept;
  [[nodiscard]] bool admit(const QueuedHandshake& queued, bool under_load, Turn& turn) noexcept;
  void receive_initiation(const QueuedHandshake& queued, Turn& turn) noexcept;
  void hand_over(const QueuedHandshake& initiation, const Peer& peer, Turn& turn) noexcept;
  void receive_response(const QueuedHandshake& queued, Turn& turn) noexcept;
  void receive_cookie_reply(const QueuedHandshake& queued, Turn& turn) noexcept;
  void queue_initiation(Peer& peer, bool is_retry, Turn& turn) noexcept;
  void hold_back(Peer& peer) noexcept;
  void send_initiation(Peer& peer, Turn& turn) noexcept;
  void send_response(Peer& peer, Turn& turn) noexcept;
  [[nodiscard]] bool begin_session(Peer& peer, Role role, Instant now) noexcept;
  [[nodiscard]] bool draw_handshake_index(Peer& peer) noexcept;
  void clear_handshake(Peer& peer) noexcept;
  [[nodiscard]] Peer* peer_of_index(std::uint32_t index) noexcept;

  // --- timers (core_timers.cpp) ---
  void data_sent(Peer& peer, Turn& turn) noexcept;
  void data_received(Peer& peer, Turn& turn) noexcept;
  void any_sent(Peer& peer) noexcept;
  void any_received(Peer& peer) noexcept;
  void handshake_initiated(Peer& peer, Turn& turn) noexcept;
  void handshake_complete(Peer& peer, Turn& turn) noexcept;
  void session_derived(Peer& peer, Turn& turn) noexcept;
  void traversal(Peer& peer, Turn& turn) noexcept;
  void run_timers(Peer& peer, Turn& turn) noexcept;
  void retransmit_expired(Peer& peer, Turn& turn) noexcept;
  void arm(Peer& peer, Timer timer, Instant at) noexcept;
  void settle_deadlines() noexcept;
  [[nodiscard]] Duration jitter() noexcept;

  // --- configuration (core_config.cpp) ---
  void apply_fields(Peer& peer, const PeerUpdate& update, Turn& turn) noexcept;
  void apply_prefixes(Peer& peer, std::span<const AllowedIpChange> changes) noexcept;
  void remove_prefixes(const Peer& peer) noexcept;
  void remove_replaced(const Peer& peer) noexcept;
  void tell_cleared(const Prefix& prefix) noexcept;
  void remove_peer(Peer& peer) noexcept;
  void zero_keys(Peer& peer) noexcept;
  void zero_overdue_keys(Peer& peer, Turn& turn) noexcept;
  void start_peer(Peer& peer, Turn& turn) noexcept;
  void stop_peer(Peer& peer) noexcept;

  DeviceSetup setup_;
  Pools pools_;
  LocalIdentity identity_;
  PeerTable peers_;
  IndexTable indices_{setup_.mark};
  Keypairs keypairs_{indices_};
  AllowedIps allowed_ips_;
  DeadlineHeap deadlines_;
  HandshakeQueues handshakes_;
  TokenBucket handshakes_beside_data_{handshake_messages_beside_data_per_s, 64};
  TokenBucket cookieless_beside_data_{cookieless_handshakes_beside_data_per_s, 64};
  Instant data_until_{};
  Instant door_from_ = Instant::max();  // strangers are heard elsewhere
  Instant handshakes_next_{};           // those that wait do so until then
  CookieChecker cookies_{setup_.entropy};
  DropCounters drops_;
  PeerId work_first_ = no_peer;
  PeerId work_last_ = no_peer;
  std::uint32_t initiations_wanted_ = 0;  // peers whose wants_initiation is set
  Now now_;                               // the latest turn's
  std::uint32_t highest_total_ = 0;       // most peers there were room for at once
  std::uint64_t turn_number_ = 0;
  std::uint64_t jitter_state_ = 0;
  SealBatch seal_batch_;
  OpenBatch open_batch_;
  TokenBucket icmp_errors_{1000, 50};  // the kernel's own rate (RFC 4443 section 2.4 f)
  std::uint32_t mtu_bytes_ = mtu_default;
  bool link_up_ = false;
  bool told_of_traffic_while_down_ = false;  // once per time it is down
};

}  // namespace wgring::noise

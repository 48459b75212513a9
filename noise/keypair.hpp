// Keypair: one session of a peer, and the three that may live at a time (protocol section 10).
#pragma once

#include <cstdint>

#include "base/slab.hpp"
#include "base/time.hpp"
#include "noise/constants.hpp"
#include "noise/handshake.hpp"
#include "noise/index_table.hpp"
#include "noise/peer_id.hpp"
#include "noise/replay.hpp"

namespace wgring::noise {

using KeypairId = std::uint32_t;
inline constexpr KeypairId no_keypair = Slab<int>::none;

enum class Role : std::uint8_t { initiator, responder };

// Both directions of one session. Each direction dies by itself: nonce exhaustion or a changed
// private key ends sending, age or message limit on receive ends receiving.
struct Keypair {
  Keypair(TransportKeys&& transport_keys, PeerId owner, Role our_role, Instant born) noexcept
      : keys(std::move(transport_keys)), birth(born), peer(owner), role(our_role) {}

  [[nodiscard]] bool expired(Instant now) const noexcept {
    return birth + reject_after_time <= now;
  }
  // Age and message limit for another packet, looked at without consequences.
  [[nodiscard]] bool may_receive(Instant now) const noexcept {
    return receiving_valid && !expired(now) && window.top() < reject_after_messages;
  }

  TransportKeys keys;
  ReplayWindow window;
  std::uint64_t sending_counter = 0;  // the next nonce
  Instant birth;
  PeerId peer;
  std::uint32_t local_index = 0;   // peer puts it into receiver_index; in the index table
  std::uint32_t remote_index = 0;  // we put it into receiver_index
  Role role;
  bool sending_valid = true;
  bool receiving_valid = true;
};

struct KeypairSet {
  KeypairId previous = no_keypair;
  KeypairId current = no_keypair;  // the only one we send under
  KeypairId next = no_keypair;     // responder's, until the first packet confirms it
};

// Owner: Core. All keypairs of a device and their entries in the index table: an index lives
// exactly as long as its keypair.
class Keypairs {
 public:
  explicit Keypairs(IndexTable& indices) noexcept : indices_(indices) {}

  [[nodiscard]] bool open(const MemorySource& memory, std::uint32_t count_max) noexcept {
    return slab_.reserve(memory, count_max);
  }
  [[nodiscard]] bool ensure_total(std::uint32_t count) noexcept {
    return count <= slab_.used() || slab_.ensure_free(count - slab_.used());
  }

  // A new session; `local_index` is the handshake's and becomes the keypair's.
  // no_keypair: out of memory (never within what ensure_total promised).
  [[nodiscard]] KeypairId create(Keypair&& session) noexcept;
  // Our initiation was answered: the session is confirmed at once.
  void install_as_initiator(KeypairSet& set, KeypairId fresh) noexcept;
  // We answered: the session waits as `next` for the first packet under it.
  void install_as_responder(KeypairSet& set, KeypairId fresh) noexcept;
  // First authentic packet under `used`: true when that was `next` and it is current now.
  [[nodiscard]] bool confirm(KeypairSet& set, KeypairId used) noexcept;
  void clear(KeypairSet& set) noexcept;

  [[nodiscard]] Keypair& operator[](KeypairId id) const noexcept { return slab_[id]; }
  [[nodiscard]] std::uint32_t used() const noexcept { return slab_.used(); }

 private:
  void destroy(KeypairId& id) noexcept;

  IndexTable& indices_;
  Slab<Keypair> slab_;
};

}  // namespace wgring::noise

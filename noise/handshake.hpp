// One peer's handshake slot (protocol sections 4 and 9). Messages without their macs: those are
// the cookie module's.
//
//   -> e, es, s, ss, {timestamp}      initiation
//   <- e, ee, se, psk, {}             response             Noise_IKpsk2, prologue: the identifier
//
//   zeroed --create_initiation--> created_initiation --consume_response--> consumed_response --+
//   any ----accept_initiation---> consumed_initiation --create_response--> created_response ---+
//   any <---------------------------- zeroed <------------------------------- begin_session ---+
//
// One slot: a peer's initiation overwrites ours and ours overwrites a peer's. A message that fails
// changes nothing, so that a forged one cannot get in the way of the true one.
#pragma once

#include <optional>

#include "base/bytes.hpp"
#include "base/time.hpp"
#include "crypto/secret.hpp"
#include "crypto/x25519.hpp"
#include "noise/entropy.hpp"
#include "noise/identity.hpp"
#include "noise/messages.hpp"
#include "noise/symmetric_state.hpp"
#include "noise/tai64n.hpp"

namespace wgring::noise {

enum class HandshakeState : std::uint8_t {
  zeroed,
  created_initiation,
  consumed_initiation,
  created_response,
  consumed_response,
};

struct TransportKeys {
  crypto::Secret<32> sending;
  crypto::Secret<32> receiving;
};

// An initiation whose static key is opened; whose it is, is for the caller to look up. It proves
// nothing yet: only the peer's slot can check the timestamp, and with it the sender.
class OpenedInitiation {
 public:
  OpenedInitiation(OpenedInitiation&&) noexcept = default;
  OpenedInitiation& operator=(OpenedInitiation&&) noexcept = default;
  ~OpenedInitiation() { crypto::wipe(initiator_); }

  [[nodiscard]] const crypto::PublicKey& initiator() const noexcept { return initiator_; }

 private:
  friend class Handshake;
  friend std::optional<OpenedInitiation> open_initiation(BytesOf<InitiationLayout::size> message,
                                                         const LocalIdentity& local) noexcept;
  OpenedInitiation() noexcept = default;

  SymmetricState symmetric_;
  crypto::PublicKey initiator_{};
  crypto::PublicKey ephemeral_{};
  ByteArray<sizeof(Timestamp) + crypto::tag_bytes> sealed_timestamp_{};
  std::uint32_t sender_index_ = 0;
};

// nullopt: no identity, a low-order ephemeral, or not authentic.
[[nodiscard]] std::optional<OpenedInitiation> open_initiation(
    BytesOf<InitiationLayout::size> message, const LocalIdentity& local) noexcept;

// Owner: the peer, in place for its whole life.
class Handshake {
 public:
  Handshake() noexcept = default;
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;

  [[nodiscard]] HandshakeState state() const noexcept { return state_; }
  // The other side's index. It stays readable after begin_session(), until the slot is used anew.
  [[nodiscard]] std::uint32_t remote_index() const noexcept { return remote_index_; }
  // The greatest one accepted; it outlives clear(), or old initiations could be replayed.
  [[nodiscard]] const Timestamp& latest_timestamp() const noexcept { return latest_timestamp_; }

  // `sender_index` is ours, already in the index table. False, and nothing changed: no identity, a
  // low-order key, or no entropy. Six parameters, for each has another owner.
  [[nodiscard]] bool create_initiation(MutableBytesOf<InitiationLayout::size> message,
                                       std::uint32_t sender_index, const LocalIdentity& local,
                                       RemoteIdentity& remote, WallTime now,
                                       const Entropy& entropy) noexcept;
  // The same with a given timestamp, which is not checked against the last one sent.
  [[nodiscard]] bool create_initiation_stamped(MutableBytesOf<InitiationLayout::size> message,
                                               std::uint32_t sender_index,
                                               const LocalIdentity& local, RemoteIdentity& remote,
                                               const Timestamp& timestamp,
                                               const Entropy& entropy) noexcept;

  // `remote` is the peer that opened.initiator() names (asserted). False, and nothing changed: not
  // from that peer, a timestamp not later than the last, or less than 20 ms after the last one.
  [[nodiscard]] bool accept_initiation(OpenedInitiation&& opened, const LocalIdentity& local,
                                       RemoteIdentity& remote, Instant now) noexcept;

  // From consumed_initiation only. False, and nothing changed: another state, a low-order key, or
  // no entropy.
  [[nodiscard]] bool create_response(MutableBytesOf<ResponseLayout::size> message,
                                     std::uint32_t sender_index, const RemoteIdentity& remote,
                                     const Entropy& entropy) noexcept;

  // In created_initiation only. False, and nothing changed: another state, a low-order ephemeral,
  // or not authentic. The caller found this slot by the message's receiver index.
  [[nodiscard]] bool consume_response(BytesOf<ResponseLayout::size> message,
                                      const LocalIdentity& local,
                                      const RemoteIdentity& remote) noexcept;

  // From created_response or consumed_response (asserted). The slot's secrets are gone after it.
  [[nodiscard]] TransportKeys begin_session() noexcept;

  // Back to zeroed. The timestamps stay, and so does the 20 ms gap.
  void clear() noexcept;

 private:
  void wipe_secrets() noexcept;

  SymmetricState symmetric_;
  crypto::Secret<32> ephemeral_private_;  // created_initiation only
  crypto::PublicKey remote_ephemeral_{};  // consumed_initiation only
  Timestamp latest_timestamp_{};
  Timestamp last_sent_timestamp_{};
  Instant accepts_from_ = Instant::min();
  std::uint32_t remote_index_ = 0;
  HandshakeState state_ = HandshakeState::zeroed;
};

}  // namespace wgring::noise

// The static side of a handshake: who we are, who a peer is, and what follows from the two.
#pragma once

#include "base/bytes.hpp"
#include "crypto/secret.hpp"
#include "crypto/x25519.hpp"

namespace wgring::noise {

// K1(P) and Kc(P): what macs and cookies of messages TO the holder of P are keyed by (protocol
// section 6). They follow from a public key and are no secrets.
struct MacKeys {
  ByteArray<32> mac1{};
  ByteArray<32> cookie{};
};
[[nodiscard]] MacKeys mac_keys_of(const crypto::PublicKey& public_key) noexcept;

// Our static key pair. Absent at first and after clear(): then no handshake is made or answered.
class LocalIdentity {
 public:
  // Clamps, for what is stored is what users are shown (protocol section 1). After a change every
  // RemoteIdentity has to forget_static_static().
  void set(const crypto::Secret<32>& private_key) noexcept;
  void clear() noexcept;

  [[nodiscard]] bool present() const noexcept { return present_; }
  [[nodiscard]] const crypto::Secret<32>& private_key() const noexcept { return private_key_; }
  [[nodiscard]] const crypto::PublicKey& public_key() const noexcept { return public_key_; }
  [[nodiscard]] const MacKeys& mac_keys() const noexcept { return mac_keys_; }

 private:
  crypto::Secret<32> private_key_;
  crypto::PublicKey public_key_{};
  MacKeys mac_keys_;
  bool present_ = false;
};

// A peer's static key and what is shared with that peer. Owner: the peer.
struct RemoteIdentity {
  crypto::PublicKey public_key{};
  MacKeys mac_keys;
  crypto::Secret<32> preshared_key;  // all zero: none

  // Sets mac_keys too; what was shared under another key is forgotten.
  void set_public_key(const crypto::PublicKey& key) noexcept;

  // DH(s_i, S_r), computed at first use: configuring 10 000 peers must not cost 10 000 scalar
  // multiplications. nullptr: no identity, or the peer's key is of low order and no handshake with
  // it can ever be (protocol section 9).
  [[nodiscard]] const crypto::Secret<32>* static_static(const LocalIdentity& local) noexcept;
  void forget_static_static() noexcept;

 private:
  enum class SharedState : std::uint8_t { unknown, known, zero };

  crypto::Secret<32> shared_;
  SharedState shared_state_ = SharedState::unknown;
};

}  // namespace wgring::noise

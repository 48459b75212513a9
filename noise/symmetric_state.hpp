// The chaining key C and the transcript hash H of one handshake, and the steps that the tokens of a
// Noise pattern are made of (protocol section 4). Each key these steps give seals one message, so
// there is no counter here.
#pragma once

#include "base/bytes.hpp"
#include "crypto/secret.hpp"

namespace wgring::noise {

class SymmetricState {
 public:
  // C = HASH(protocol name), H = HASH(C || prologue). For names longer than a hash only (asserted).
  void start(Bytes protocol_name, Bytes prologue) noexcept;

  // H = HASH(H || data)
  void mix_hash(Bytes data) noexcept;
  // C = KDF1(C, input)
  void mix_chain(Bytes input) noexcept;
  // (C, key) = KDF2(C, shared)
  void mix_key(crypto::Secret<32>& key, const crypto::Secret<32>& shared) noexcept;
  // mix_key() of DH(private, public). False, and nothing changed, for a low-order public key: a
  // zero result never reaches the KDF (protocol section 9).
  [[nodiscard]] bool mix_dh(crypto::Secret<32>& key, const crypto::Secret<32>& private_key,
                            BytesOf<32> public_key) noexcept;
  // (C, t, key) = KDF3(C, psk); H = HASH(H || t)
  void mix_psk(crypto::Secret<32>& key, const crypto::Secret<32>& preshared_key) noexcept;

  // sealed = AEAD(key, 0, plain, H); H = HASH(H || sealed). The buffers are disjoint.
  void seal_and_hash(MutableBytes sealed, Bytes plain, const crypto::Secret<32>& key) noexcept;
  // False: not authentic, H is unchanged.
  [[nodiscard]] bool open_and_hash(MutableBytes plain, Bytes sealed,
                                   const crypto::Secret<32>& key) noexcept;

  // (T1, T2) = KDF2(C, ""): the initiator sends with the first, the responder with the second.
  void split(crypto::Secret<32>& first, crypto::Secret<32>& second) const noexcept;

  void wipe() noexcept;
  [[nodiscard]] SymmetricState clone() const noexcept;
  [[nodiscard]] BytesOf<32> chaining_key() const noexcept { return chaining_key_.view(); }
  [[nodiscard]] BytesOf<32> transcript() const noexcept { return transcript_.view(); }

 private:
  crypto::Secret<32> chaining_key_;
  crypto::Secret<32> transcript_;  // not secret as such, but it identifies the two parties
};

}  // namespace wgring::noise

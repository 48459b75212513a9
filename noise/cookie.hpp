// mac1, mac2 and cookies: who may make us compute, and proof of address under load (protocol
// section 6). Both ends. Messages are whole initiations or responses; their last 32 bytes are
// mac1 and mac2.
#pragma once

#include "base/bytes.hpp"
#include "base/time.hpp"
#include "crypto/secret.hpp"
#include "noise/endpoint.hpp"
#include "noise/entropy.hpp"
#include "noise/identity.hpp"
#include "noise/messages.hpp"
#include "noise/nonce_pool.hpp"

namespace wgring::noise {

// The sender knows our public key. Constant time. False without an identity: nothing is answered.
[[nodiscard]] bool mac1_valid(Bytes message, const LocalIdentity& local) noexcept;
// Likewise, where there is an identity, by those that follow from its public key.
[[nodiscard]] bool mac1_valid(Bytes message, const MacKeys& ours) noexcept;

// The receiver's side. Owner: a CookieChecker. The secret R is drawn at first use, and anew at the
// first use 120 s later; cookies under the old one end there.
class CookieMaker {
 public:
  // The sender holds a cookie that was sent to this very address and port. False too when there is
  // no entropy for a secret.
  [[nodiscard]] bool mac2_valid(Bytes message, const SocketAddress& source, Instant now,
                                const Entropy& entropy) noexcept;

  // The answer to `refused`, whose mac1 is valid by the keys of `ours`; it goes back to `source`.
  // False: no entropy, and nothing is sent. Six parameters, for each has another owner.
  [[nodiscard]] bool make_reply(MutableBytesOf<CookieReplyLayout::size> reply, Bytes refused,
                                const SocketAddress& source, const MacKeys& ours, Instant now,
                                const Entropy& entropy) noexcept;

 private:
  [[nodiscard]] bool refresh_secret(Instant now, const Entropy& entropy) noexcept;
  [[nodiscard]] Bytes cookie_of(const SocketAddress& source) noexcept;

  NoncePool nonces_;
  crypto::Secret<32> secret_;
  SocketAddress latest_;                    // unset: none
  crypto::Secret<mac_field_bytes> cookie_;  // of that one: who has none valid is asked about twice
  Instant secret_born_{};
  bool has_secret_ = false;
};

// The sender's side. Owner: the peer.
class CookieJar {
 public:
  // Fills both macs of a message to `remote`. Remembers mac1: the next cookie reply must name it.
  void add_macs(MutableBytes message, const RemoteIdentity& remote, Instant now) noexcept;

  // False, and nothing changed: nothing was sent that this could answer, or not authentic. One
  // reply is taken per mac1 sent. It resends nothing: the next ordinary retry carries the cookie.
  [[nodiscard]] bool consume_reply(BytesOf<CookieReplyLayout::size> reply,
                                   const RemoteIdentity& remote, Instant now) noexcept;

  void clear() noexcept;

 private:
  crypto::Secret<mac_field_bytes> cookie_;
  Instant cookie_received_{};
  ByteArray<mac_field_bytes> last_mac1_{};
  bool has_cookie_ = false;
  bool awaits_reply_ = false;
};

}  // namespace wgring::noise

// Two ends of a handshake for tests, and an initiator that may break every rule.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "noise/cookie.hpp"
#include "noise/handshake.hpp"
#include "tests/support/json_vectors.hpp"

namespace wgring::noise {

// Yields given bytes and fails when they are used up.
class ScriptedEntropy {
 public:
  explicit ScriptedEntropy(test::Buffer bytes) : bytes_(std::move(bytes)) {}

  [[nodiscard]] Entropy source() noexcept { return {.context = this, .fill = &fill}; }
  [[nodiscard]] std::size_t left() const noexcept { return bytes_.size() - used_; }

 private:
  static bool fill(void* context, MutableBytes to) noexcept {
    auto& self = *static_cast<ScriptedEntropy*>(context);
    if (self.left() < to.size()) {
      return false;
    }
    copy_bytes(to, Bytes{self.bytes_}.subspan(self.used_, to.size()));
    self.used_ += to.size();
    return true;
  }

  test::Buffer bytes_;
  std::size_t used_ = 0;
};

// Never the same byte string twice; the same in every run.
class CountingEntropy {
 public:
  [[nodiscard]] Entropy source() noexcept { return {.context = this, .fill = &fill}; }

 private:
  static bool fill(void* context, MutableBytes to) noexcept {
    auto& state = static_cast<CountingEntropy*>(context)->state_;
    for (std::uint8_t& byte : to) {
      state = state * 6'364'136'223'846'793'005ULL + 1'442'695'040'888'963'407ULL;
      byte = static_cast<std::uint8_t>(state >> 56U);
    }
    return true;
  }

  std::uint64_t state_ = 1;
};

inline constexpr Entropy failing_entropy = {
    .context = nullptr, .fill = [](void*, MutableBytes) noexcept { return false; }};

[[nodiscard]] inline crypto::Secret<32> secret_of(const ByteArray<32>& bytes) {
  return crypto::Secret<32>(bytes);
}
[[nodiscard]] inline crypto::Secret<32> secret_of(std::uint8_t byte) {
  ByteArray<32> bytes{};
  bytes.fill(byte);
  return secret_of(bytes);
}

inline constexpr Instant start_of_time = Instant{std::chrono::hours{1}};
inline constexpr WallTime wall_start = WallTime{std::chrono::seconds{1'700'000'000}};

using InitiationBytes = ByteArray<InitiationLayout::size>;
using ResponseBytes = ByteArray<ResponseLayout::size>;

struct Party {
  LocalIdentity local;
  RemoteIdentity remote;
  Handshake handshake;
  CookieJar jar;

  // The object as it lies in memory: equal before and after means that nothing at all changed.
  [[nodiscard]] test::Buffer image() const {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&handshake);
    return {bytes, bytes + sizeof handshake};
  }
};

inline void introduce(Party& a, Party& b) {
  a.remote.set_public_key(b.local.public_key());
  b.remote.set_public_key(a.local.public_key());
}

struct Pair {
  Party initiator;
  Party responder;
  CountingEntropy random;

  Pair() {
    initiator.local.set(secret_of(std::uint8_t{0x11}));
    responder.local.set(secret_of(std::uint8_t{0x22}));
    introduce(initiator, responder);
  }

  // All of it is expected to work; tests of failure call the slot themselves.
  [[nodiscard]] InitiationBytes initiate(Party& from, std::uint32_t index, WallTime now) {
    InitiationBytes message{};
    WG_ASSERT(from.handshake.create_initiation(message, index, from.local, from.remote, now,
                                               random.source()));
    return message;
  }
  [[nodiscard]] InitiationBytes initiate(WallTime now = wall_start) {
    return initiate(initiator, 0x0a0a'0a0aU, now);
  }
  [[nodiscard]] static bool accept(Party& by, const InitiationBytes& message, Instant now) {
    auto opened = open_initiation(message, by.local);
    return opened.has_value() &&
           by.handshake.accept_initiation(std::move(*opened), by.local, by.remote, now);
  }
  [[nodiscard]] ResponseBytes respond(Party& from, std::uint32_t index) {
    ResponseBytes message{};
    WG_ASSERT(from.handshake.create_response(message, index, from.remote, random.source()));
    return message;
  }
  [[nodiscard]] static bool consume(Party& by, const ResponseBytes& message) {
    return by.handshake.consume_response(message, by.local, by.remote);
  }
};

[[nodiscard]] inline bool same_session(const TransportKeys& a, const TransportKeys& b) {
  return equal_public(a.sending.view(), b.receiving.view()) &&
         equal_public(a.receiving.view(), b.sending.view()) &&
         !equal_public(a.sending.view(), a.receiving.view());
}

// Protocol section 9, and twins with the bit set that X25519 ignores.
[[nodiscard]] inline std::vector<crypto::PublicKey> low_order_points() {
  std::vector<crypto::PublicKey> points;
  for (const std::string_view text :
       {"0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    crypto::PublicKey point = test::unhex_array<32>(text);
    points.push_back(point);
    point[31] |= 0x80U;
    points.push_back(point);
  }
  return points;
}

// DH without the zero check: what an attacker computes.
[[nodiscard]] inline crypto::Secret<32> unchecked_dh(const crypto::Secret<32>& private_key,
                                                     BytesOf<32> public_key) {
  crypto::Secret<32> shared;
  static_cast<void>(crypto::x25519(shared.fill(), private_key.view(), public_key));
  return shared;
}

// The handshake of whoever writes its own code: any wire ephemeral, any static key, no check.
struct Attacker {
  crypto::Secret<32> ephemeral_private = secret_of(std::uint8_t{0x40});
  crypto::PublicKey ephemeral{};
  crypto::Secret<32> static_private = secret_of(std::uint8_t{0x11});
  crypto::PublicKey static_public{};
  SymmetricState symmetric;

  Attacker() { crypto::x25519_public(ephemeral, ephemeral_private.view()); }

  void begin(const crypto::PublicKey& responder) {
    const std::string_view name = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
    const std::string_view prologue = "WireGuard v1 zx2c4 Jason@zx2c4.com";
    symmetric.start({reinterpret_cast<const std::uint8_t*>(name.data()), name.size()},
                    {reinterpret_cast<const std::uint8_t*>(prologue.data()), prologue.size()});
    symmetric.mix_hash(responder);
  }

  // With what DH gives, checked by nobody.
  [[nodiscard]] InitiationBytes initiation(const crypto::PublicKey& responder,
                                           const Timestamp& timestamp) {
    const crypto::Secret<32> es = unchecked_dh(ephemeral_private, responder);
    return initiation(responder, &es, unchecked_dh(static_private, responder), timestamp);
  }

  // With given results of DH; no es: that token left out.
  [[nodiscard]] InitiationBytes initiation(const crypto::PublicKey& responder,
                                           const crypto::Secret<32>* es,
                                           const crypto::Secret<32>& ss,
                                           const Timestamp& timestamp) {
    InitiationBytes message{};
    const MutableBytesOf<InitiationLayout::size> at{message};
    begin(responder);
    message[0] = 1;
    copy_bytes(at.subspan<InitiationLayout::ephemeral, 32>(), ephemeral);
    symmetric.mix_hash(ephemeral);
    symmetric.mix_chain(ephemeral);
    crypto::Secret<32> key;
    if (es != nullptr) {
      symmetric.mix_key(key, *es);
    }
    symmetric.seal_and_hash(at.subspan<InitiationLayout::sealed_static, 48>(), static_public, key);
    symmetric.mix_key(key, ss);
    symmetric.seal_and_hash(at.subspan<InitiationLayout::sealed_timestamp, 28>(), timestamp, key);
    return message;
  }
};

}  // namespace wgring::noise

#include "noise/cookie.hpp"

#include <utility>

#include "crypto/blake2s.hpp"
#include "crypto/xaead.hpp"
#include "noise/constants.hpp"

namespace wgring::noise {
namespace {

// A sender stops using a cookie a little before its receiver would refuse it.
constexpr Duration cookie_age_max = cookie_secret_age_max - cookie_secret_latency;

constexpr std::size_t sealed_cookie_bytes =
    CookieReplyLayout::size - CookieReplyLayout::sealed_cookie;
static_assert(sealed_cookie_bytes == mac_field_bytes + crypto::tag_bytes);

// The fields of a message by their distance from its end.
Bytes before_mac1(Bytes message) noexcept { return message.first(message.size() - macs_bytes); }
Bytes before_mac2(Bytes message) noexcept {
  return message.first(message.size() - mac_field_bytes);
}
BytesOf<mac_field_bytes> mac1_of(Bytes message) noexcept {
  return fixed<mac_field_bytes>(message, message.size() - macs_bytes);
}
BytesOf<mac_field_bytes> mac2_of(Bytes message) noexcept {
  return fixed<mac_field_bytes>(message, message.size() - mac_field_bytes);
}

void assert_handshake_size(Bytes message) noexcept {
  WG_ASSERT(message.size() == InitiationLayout::size || message.size() == ResponseLayout::size);
}

}  // namespace

bool mac1_valid(Bytes message, const LocalIdentity& local) noexcept {
  return local.present() && mac1_valid(message, local.mac_keys());
}

bool mac1_valid(Bytes message, const MacKeys& ours) noexcept {
  assert_handshake_size(message);
  ByteArray<mac_field_bytes> expected{};
  crypto::mac(expected, ours.mac1, before_mac1(message));
  return crypto::ct_equal(expected, mac1_of(message));
}

bool CookieMaker::mac2_valid(Bytes message, const SocketAddress& source, Instant now,
                             const Entropy& entropy) noexcept {
  assert_handshake_size(message);
  if (!refresh_secret(now, entropy)) {
    return false;
  }
  crypto::Secret<mac_field_bytes> expected;
  crypto::mac(expected.fill(), cookie_of(source), before_mac2(message));
  return crypto::ct_equal(expected.view(), mac2_of(message));
}

// NOLINTNEXTLINE(readability-function-size): six parameters, each with another owner.
bool CookieMaker::make_reply(MutableBytesOf<CookieReplyLayout::size> reply, Bytes refused,
                             const SocketAddress& source, const MacKeys& ours, Instant now,
                             const Entropy& entropy) noexcept {
  using Layout = CookieReplyLayout;
  assert_handshake_size(refused);
  ByteArray<NoncePool::nonce_bytes> nonce{};
  if (!refresh_secret(now, entropy) || !nonces_.draw(nonce, entropy)) {
    return false;
  }
  static_assert(InitiationLayout::sender_index == ResponseLayout::sender_index);
  store_le32(reply.data(), static_cast<std::uint32_t>(MessageType::cookie_reply));
  copy_bytes(reply.subspan<Layout::receiver_index, 4>(),
             fixed<4>(refused, InitiationLayout::sender_index));
  copy_bytes(reply.subspan<Layout::nonce, NoncePool::nonce_bytes>(), nonce);
  crypto::xaead_seal(reply.subspan<Layout::sealed_cookie, sealed_cookie_bytes>(), cookie_of(source),
                     mac1_of(refused), ours.cookie, nonce);
  return true;
}

// The old secret is gone before entropy is asked: a failing source ends all cookies, for a secret
// beyond its age must not be used.
bool CookieMaker::refresh_secret(Instant now, const Entropy& entropy) noexcept {
  if (has_secret_ && now - secret_born_ < cookie_secret_age_max) {
    return true;
  }
  secret_.wipe();
  cookie_.wipe();
  latest_ = {};
  has_secret_ = entropy(secret_.fill());
  if (!has_secret_) {
    secret_.wipe();
    return false;
  }
  secret_born_ = now;
  return true;
}

// Address and port both: an address alone is shared by all behind one NAT. The port is in network
// order, as the kernel has it.
Bytes CookieMaker::cookie_of(const SocketAddress& source) noexcept {
  if (source != latest_) {
    ByteArray<2> port{};
    store_be16(port.data(), source.port);
    crypto::mac(cookie_.fill(), secret_.view(), source.ip.significant(), port);
    latest_ = source;
  }
  return cookie_.view();
}

void CookieJar::add_macs(MutableBytes message, const RemoteIdentity& remote, Instant now) noexcept {
  assert_handshake_size(message);
  crypto::mac(last_mac1_, remote.mac_keys.mac1, before_mac1(message));
  copy_bytes(message.subspan(message.size() - macs_bytes), last_mac1_);
  awaits_reply_ = true;

  const auto mac2 = fixed<mac_field_bytes>(message, message.size() - mac_field_bytes);
  if (has_cookie_ && now - cookie_received_ >= cookie_age_max) {
    cookie_.wipe();
    has_cookie_ = false;
  }
  if (has_cookie_) {
    crypto::mac(mac2, cookie_.view(), before_mac2(message));
  } else {
    fill_zero(mac2);
  }
}

bool CookieJar::consume_reply(BytesOf<CookieReplyLayout::size> reply, const RemoteIdentity& remote,
                              Instant now) noexcept {
  using Layout = CookieReplyLayout;
  if (!awaits_reply_) {
    return false;
  }
  crypto::Secret<mac_field_bytes> cookie;
  const auto sealed = reply.subspan<Layout::sealed_cookie, sealed_cookie_bytes>();
  if (!crypto::xaead_open(cookie.fill(), sealed, last_mac1_, remote.mac_keys.cookie,
                          reply.subspan<Layout::nonce, 24>())) {
    return false;
  }
  cookie_ = std::move(cookie);
  cookie_received_ = now;
  has_cookie_ = true;
  awaits_reply_ = false;
  return true;
}

void CookieJar::clear() noexcept {
  cookie_.wipe();
  crypto::wipe(last_mac1_);
  has_cookie_ = false;
  awaits_reply_ = false;
}

}  // namespace wgring::noise

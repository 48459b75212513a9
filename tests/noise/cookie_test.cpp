#include "noise/cookie.hpp"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "crypto/blake2s.hpp"
#include "noise/constants.hpp"
#include "tests/noise/handshake_pair.hpp"

namespace wgring::noise {
namespace {

using boost::json::object;
using test::array_field;
using test::bytes_of;
using test::hex;
using test::text_of;

using ReplyBytes = ByteArray<CookieReplyLayout::size>;

SocketAddress address_of(const test::Buffer& ip, std::uint16_t port) {
  SocketAddress address;
  address.ip.family = ip.size() == 4 ? Family::v4 : Family::v6;
  copy_bytes(address.ip.bytes, ip);
  address.port = port;
  return address;
}

// The private key of a recorded static key: a receiver has one, the cookie file does not.
crypto::Secret<32> private_key_of(const std::string& public_key) {
  const boost::json::value file = test::load_vectors("wireguard_transcripts");
  for (const auto& value : test::array_of(file.as_object(), "sessions")) {
    for (const std::string role : {"initiator", "responder"}) {
      if (text_of(value.as_object(), role + "_static_public") == public_key) {
        return secret_of(array_field<32>(value.as_object(), role + "_static_private"));
      }
    }
  }
  throw std::runtime_error("no private key for " + public_key);
}

// One case of the file: a receiver under load and a sender that has to prove its address.
struct Case {
  LocalIdentity receiver;
  RemoteIdentity remote;  // the receiver, as the sender knows it
  SocketAddress source;
  ScriptedEntropy entropy;
  test::Buffer with_mac1;

  explicit Case(const object& c)
      : source(address_of(bytes_of(c, "source_address"),
                          static_cast<std::uint16_t>(c.at("source_port").as_int64()))),
        entropy(joined(c)),
        with_mac1(bytes_of(c, "message_with_mac1")) {
    receiver.set(private_key_of(text_of(c, "responder_static_public")));
    remote.set_public_key(array_field<32>(c, "responder_static_public"));
  }
  static test::Buffer joined(const object& c) {
    test::Buffer bytes = bytes_of(c, "secret");
    const test::Buffer nonce = bytes_of(c, "nonce");
    bytes.insert(bytes.end(), nonce.begin(), nonce.end());
    bytes.resize(bytes.size() + (NoncePool::count - 1) * NoncePool::nonce_bytes);  // drawn with it
    return bytes;
  }
};

// fault: vpp-cookies
TEST(CookieVectors, BothEndsByteForByte) {
  const boost::json::value file = test::load_vectors("cookie_generated");
  const auto& cases = test::array_of(file.as_object(), "cases");
  ASSERT_EQ(cases.size(), 4U);
  std::size_t v6 = 0;
  for (const auto& value : cases) {
    const object& row = value.as_object();
    SCOPED_TRACE(text_of(row, "source_address"));
    Case c(row);
    v6 += c.source.ip.family == Family::v6 ? 1U : 0U;
    EXPECT_TRUE(mac1_valid(c.with_mac1, c.receiver));

    CookieJar jar;
    test::Buffer sent = c.with_mac1;
    std::fill(sent.end() - macs_bytes, sent.end(), std::uint8_t{0xee});
    jar.add_macs(sent, c.remote, start_of_time);
    EXPECT_EQ(hex(sent), hex(c.with_mac1));

    CookieMaker maker;
    const Entropy entropy = c.entropy.source();
    EXPECT_FALSE(maker.mac2_valid(sent, c.source, start_of_time, entropy));
    ReplyBytes reply{};
    ASSERT_TRUE(
        maker.make_reply(reply, sent, c.source, c.receiver.mac_keys(), start_of_time, entropy));
    EXPECT_EQ(hex(reply), text_of(row, "cookie_reply"));
    EXPECT_EQ(c.entropy.left(), 0U);
    EXPECT_EQ(classify(reply), MessageType::cookie_reply);

    ASSERT_TRUE(jar.consume_reply(reply, c.remote, start_of_time));
    jar.add_macs(sent, c.remote, start_of_time);
    EXPECT_EQ(hex(sent), text_of(row, "message_with_mac2"));
    EXPECT_TRUE(mac1_valid(sent, c.receiver));
    EXPECT_TRUE(maker.mac2_valid(sent, c.source, start_of_time, entropy));
  }
  EXPECT_GT(v6, 0U);
}

TEST(Mac1, CoversEveryBitBeforeIt) {
  const boost::json::value file = test::load_vectors("cookie_generated");
  for (const auto& value : test::array_of(file.as_object(), "cases")) {
    Case c(value.as_object());
    for (std::size_t bit = 0; bit < (c.with_mac1.size() - mac_field_bytes) * 8; ++bit) {
      test::Buffer message = c.with_mac1;
      message[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
      ASSERT_FALSE(mac1_valid(message, c.receiver)) << "bit " << bit;
    }
    // mac2 is not looked at by it.
    test::Buffer message = c.with_mac1;
    message.back() ^= 1;
    EXPECT_TRUE(mac1_valid(message, c.receiver));
  }
}

TEST(Mac1, NeedsAnIdentity) {
  Pair pair;
  InitiationBytes message = pair.initiate();
  pair.initiator.jar.add_macs(message, pair.initiator.remote, start_of_time);
  EXPECT_TRUE(mac1_valid(message, pair.responder.local));
  EXPECT_FALSE(mac1_valid(message, pair.initiator.local)) << "our own message, reflected";
  pair.responder.local.clear();
  EXPECT_FALSE(mac1_valid(message, pair.responder.local));
  // The mac keys of an absent identity are known to all: zero.
  crypto::mac(fixed<16>(MutableBytes{message}, InitiationLayout::mac1), ByteArray<32>{},
              Bytes{message}.first(InitiationLayout::mac1));
  EXPECT_FALSE(mac1_valid(message, pair.responder.local));
}

// A sender, a receiver under load, and the sender's address.
class CookieExchange : public testing::Test {
 protected:
  using Message = InitiationBytes;

  Message send(Instant now) {
    wall += std::chrono::seconds{5};
    Message message = pair.initiate(wall);
    jar().add_macs(message, pair.initiator.remote, now);
    return message;
  }
  ReplyBytes reply_to(const Message& message, Instant now) {
    ReplyBytes reply{};
    EXPECT_TRUE(maker.make_reply(reply, message, source, pair.responder.local.mac_keys(), now,
                                 pair.random.source()));
    return reply;
  }
  bool take(const ReplyBytes& reply, Instant now) {
    return jar().consume_reply(reply, pair.initiator.remote, now);
  }
  bool proven(const Message& message, Instant now) { return proven_from(message, source, now); }
  bool proven_from(const Message& message, const SocketAddress& from, Instant now) {
    return maker.mac2_valid(message, from, now, pair.random.source());
  }
  static bool has_mac2(const Message& message) {
    return !crypto::ct_is_zero(Bytes{message}.last(mac_field_bytes));
  }
  CookieJar& jar() { return pair.initiator.jar; }

  Pair pair;
  CookieMaker maker;
  SocketAddress source = address_of({192, 0, 2, 7}, 51820);
  WallTime wall = wall_start;
  const Instant t0 = start_of_time;
};

TEST_F(CookieExchange, ProveTheAddressTheyWereSentTo) {
  const Message first = send(t0);
  EXPECT_FALSE(has_mac2(first));
  EXPECT_FALSE(proven(first, t0));
  ASSERT_TRUE(take(reply_to(first, t0), t0));
  const Message second = send(t0);
  EXPECT_TRUE(has_mac2(second));
  EXPECT_TRUE(proven(second, t0));

  for (std::size_t i = 0; i < 4; ++i) {
    SocketAddress other = source;
    other.ip.bytes[i] ^= 1;
    EXPECT_FALSE(proven_from(second, other, t0)) << "address byte " << i;
  }
  for (unsigned bit = 0; bit < 16; ++bit) {
    SocketAddress other = source;
    other.port = static_cast<std::uint16_t>(other.port ^ (1U << bit));
    EXPECT_FALSE(proven_from(second, other, t0)) << "port bit " << bit;
  }
  // Four bytes of a v4 address are the address, whatever stands behind them.
  SocketAddress same = source;
  same.ip.bytes[9] = 0xff;
  EXPECT_TRUE(proven_from(second, same, t0));
  same.ip.family = Family::v6;
  EXPECT_FALSE(proven_from(second, same, t0));
}

TEST_F(CookieExchange, BindAllOfAV6Address) {
  source = address_of(test::unhex("20010db8000000000000000000000001"), 1);
  ASSERT_TRUE(take(reply_to(send(t0), t0), t0));
  const Message message = send(t0);
  EXPECT_TRUE(proven(message, t0));
  for (std::size_t i = 0; i < 16; ++i) {
    SocketAddress other = source;
    other.ip.bytes[i] ^= 1;
    EXPECT_FALSE(proven_from(message, other, t0)) << "address byte " << i;
  }
}

TEST_F(CookieExchange, Mac2CoversEveryBitBeforeIt) {
  ASSERT_TRUE(take(reply_to(send(t0), t0), t0));
  const Message message = send(t0);
  for (std::size_t bit = 0; bit < message.size() * 8; ++bit) {
    Message changed = message;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    ASSERT_FALSE(proven(changed, t0)) << "bit " << bit;
  }
  EXPECT_TRUE(proven(message, t0));
}

TEST_F(CookieExchange, ProveResponsesToo) {
  Party& responder = pair.responder;
  ASSERT_TRUE(Pair::accept(responder, send(t0), t0));
  ResponseBytes response = pair.respond(responder, 7);
  responder.jar.add_macs(response, responder.remote, t0);
  ReplyBytes reply{};
  ASSERT_TRUE(maker.make_reply(reply, response, source, pair.initiator.local.mac_keys(), t0,
                               pair.random.source()));
  EXPECT_EQ(load_le32(reply.data() + CookieReplyLayout::receiver_index), 7U);
  ASSERT_TRUE(responder.jar.consume_reply(reply, responder.remote, t0));
  responder.jar.add_macs(response, responder.remote, t0);
  EXPECT_TRUE(maker.mac2_valid(response, source, t0, pair.random.source()));
}

TEST_F(CookieExchange, SecretLivesHundredTwentySeconds) {
  ASSERT_TRUE(take(reply_to(send(t0), t0), t0));
  const Message message = send(t0);
  EXPECT_TRUE(proven(message, t0 + cookie_secret_age_max - Duration{1}));
  EXPECT_FALSE(proven(message, t0 + cookie_secret_age_max));
  EXPECT_FALSE(proven(message, t0 + cookie_secret_age_max + Duration{1})) << "no grace";
}

TEST_F(CookieExchange, SecretIsReplacedAtUseNotBefore) {
  ASSERT_TRUE(take(reply_to(send(t0), t0), t0));
  const Instant late = t0 + 10 * cookie_secret_age_max;
  ASSERT_TRUE(take(reply_to(send(late), late), late));
  const Message message = send(late);
  // 120 s count from the replacement, not from a multiple of the first.
  EXPECT_TRUE(proven(message, late + cookie_secret_age_max - Duration{1}));
  EXPECT_FALSE(proven(message, late + cookie_secret_age_max));
}

TEST_F(CookieExchange, AreUsedForHundredFifteenSeconds) {
  const Instant received = t0 + std::chrono::seconds{3};
  ASSERT_TRUE(take(reply_to(send(t0), t0), received));
  const Duration life = std::chrono::seconds{115};
  EXPECT_TRUE(has_mac2(send(received + life - Duration{1})));
  EXPECT_FALSE(has_mac2(send(received + life)));
  EXPECT_FALSE(has_mac2(send(received))) << "an expired one is gone";
}

TEST_F(CookieExchange, OneReplyPerMac1) {
  const Message first = send(t0);
  const ReplyBytes reply = reply_to(first, t0);
  const ReplyBytes another = reply_to(first, t0);
  ASSERT_TRUE(take(reply, t0));
  EXPECT_FALSE(take(reply, t0)) << "the same again";
  EXPECT_FALSE(take(another, t0)) << "genuine, but one is enough";
  send(t0);
  EXPECT_FALSE(take(reply, t0)) << "to an older mac1";
  EXPECT_FALSE(take(another, t0));
}

TEST_F(CookieExchange, UnsolicitedRepliesAreRefused) {
  const ReplyBytes reply = reply_to(send(t0), t0);
  CookieJar fresh;
  EXPECT_FALSE(fresh.consume_reply(reply, pair.initiator.remote, t0));
  jar().clear();
  EXPECT_FALSE(take(reply, t0));
  EXPECT_FALSE(has_mac2(send(t0)));
}

TEST_F(CookieExchange, ClearForgetsTheCookie) {
  ASSERT_TRUE(take(reply_to(send(t0), t0), t0));
  jar().clear();
  EXPECT_FALSE(has_mac2(send(t0)));
}

TEST_F(CookieExchange, ForgedRepliesChangeNothing) {
  ASSERT_TRUE(take(reply_to(send(t0), t0), t0));
  const ReplyBytes reply = reply_to(send(t0), t0);
  for (std::size_t bit = CookieReplyLayout::nonce * 8; bit < reply.size() * 8; ++bit) {
    ReplyBytes forged = reply;
    forged[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    ASSERT_FALSE(take(forged, t0)) << "bit " << bit;
  }
  RemoteIdentity stranger;
  stranger.set_public_key(pair.initiator.local.public_key());
  EXPECT_FALSE(jar().consume_reply(reply, stranger, t0)) << "another peer's key";
  EXPECT_TRUE(take(reply, t0)) << "the true one still counts";
  EXPECT_TRUE(proven(send(t0), t0));
}

TEST_F(CookieExchange, ForgedRepliesDoNotEndACookieInUse) {
  ASSERT_TRUE(take(reply_to(send(t0), t0), t0));
  send(t0);
  EXPECT_FALSE(take(ReplyBytes{}, t0));
  EXPECT_TRUE(proven(send(t0), t0));
}

TEST_F(CookieExchange, RepliesAreFreshEachTime) {
  const Message message = send(t0);
  std::set<std::string> nonces;
  constexpr std::size_t replies = 2 * NoncePool::count + 1;
  for (std::size_t i = 0; i < replies; ++i) {
    const ReplyBytes reply = reply_to(message, t0);
    nonces.insert(hex(Bytes{reply}.subspan(CookieReplyLayout::nonce, NoncePool::nonce_bytes)));
  }
  EXPECT_EQ(nonces.size(), replies);
}

TEST_F(CookieExchange, FailClosedWithoutEntropy) {
  const Message message = send(t0);
  ReplyBytes reply{};
  CookieMaker empty;
  EXPECT_FALSE(empty.mac2_valid(message, source, t0, failing_entropy));
  EXPECT_FALSE(empty.make_reply(reply, message, source, pair.responder.local.mac_keys(), t0,
                                failing_entropy));
  // Enough for the secret, not for the nonce.
  ScriptedEntropy scarce(test::Buffer(32 + 23));
  EXPECT_FALSE(empty.make_reply(reply, message, source, pair.responder.local.mac_keys(), t0,
                                scarce.source()));
  EXPECT_EQ(hex(reply), hex(ReplyBytes{}));

  ASSERT_TRUE(take(reply_to(message, t0), t0));
  const Message second = send(t0);
  EXPECT_TRUE(maker.mac2_valid(second, source, t0, failing_entropy)) << "the secret is there";
  // A mac2 under an all-zero secret must not pass once the old secret is gone.
  const Instant late = t0 + cookie_secret_age_max;
  EXPECT_FALSE(maker.mac2_valid(second, source, late, failing_entropy));
  EXPECT_FALSE(maker.mac2_valid(second, source, t0, failing_entropy));
  ByteArray<6> bound = {192, 0, 2, 7, 0, 0};
  store_be16(bound.data() + 4, source.port);
  Message guessed = second;
  ByteArray<16> cookie{};
  crypto::mac(cookie, ByteArray<32>{}, bound);
  crypto::mac(fixed<16>(MutableBytes{guessed}, InitiationLayout::mac2), cookie,
              Bytes{guessed}.first(InitiationLayout::mac2));
  EXPECT_FALSE(maker.mac2_valid(guessed, source, late, failing_entropy));
}

}  // namespace
}  // namespace wgring::noise

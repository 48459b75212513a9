#include "noise/identity.hpp"

#include <gtest/gtest.h>

#include "tests/noise/handshake_pair.hpp"

namespace wgring::noise {
namespace {

using test::hex;

TEST(LocalIdentity, IsAbsentUntilSetAndAfterClear) {
  LocalIdentity local;
  EXPECT_FALSE(local.present());
  local.set(secret_of(std::uint8_t{0xff}));
  EXPECT_TRUE(local.present());
  EXPECT_EQ(local.private_key().view()[0], 0xf8);
  EXPECT_EQ(local.private_key().view()[31], 0x7f);
  EXPECT_EQ(hex(local.mac_keys().mac1), hex(mac_keys_of(local.public_key()).mac1));
  EXPECT_EQ(hex(local.mac_keys().cookie), hex(mac_keys_of(local.public_key()).cookie));
  EXPECT_NE(hex(local.mac_keys().mac1), hex(local.mac_keys().cookie));

  local.clear();
  EXPECT_FALSE(local.present());
  EXPECT_TRUE(crypto::ct_is_zero(local.private_key().view()));
  EXPECT_TRUE(crypto::ct_is_zero(local.public_key()));
  EXPECT_TRUE(crypto::ct_is_zero(local.mac_keys().mac1));
  EXPECT_TRUE(crypto::ct_is_zero(local.mac_keys().cookie));
}

TEST(RemoteIdentity, BothSidesShareTheSame) {
  Pair pair;
  const crypto::Secret<32>* a = pair.initiator.remote.static_static(pair.initiator.local);
  const crypto::Secret<32>* b = pair.responder.remote.static_static(pair.responder.local);
  ASSERT_NE(a, nullptr);
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(hex(a->view()), hex(b->view()));
  EXPECT_FALSE(crypto::ct_is_zero(a->view()));
}

TEST(RemoteIdentity, IsComputedOnceAndAnewAfterForgetting) {
  Pair pair;
  RemoteIdentity& remote = pair.initiator.remote;
  const std::string before = hex(remote.static_static(pair.initiator.local)->view());
  pair.initiator.local.set(secret_of(std::uint8_t{0x33}));
  EXPECT_EQ(hex(remote.static_static(pair.initiator.local)->view()), before);
  remote.forget_static_static();
  EXPECT_NE(hex(remote.static_static(pair.initiator.local)->view()), before);

  pair.initiator.local.set(secret_of(std::uint8_t{0x11}));
  remote.set_public_key(pair.responder.local.public_key());
  EXPECT_EQ(hex(remote.static_static(pair.initiator.local)->view()), before);
}

TEST(RemoteIdentity, HasNothingToShareWithoutAnIdentity) {
  Pair pair;
  const LocalIdentity absent;
  EXPECT_EQ(pair.initiator.remote.static_static(absent), nullptr);
  EXPECT_NE(pair.initiator.remote.static_static(pair.initiator.local), nullptr);
}

TEST(RemoteIdentity, LowOrderKeysAreConfigurableAndShareNothing) {
  Pair pair;
  for (const crypto::PublicKey& point : low_order_points()) {
    RemoteIdentity remote;
    remote.set_public_key(point);
    EXPECT_EQ(remote.static_static(pair.initiator.local), nullptr) << hex(point);
    EXPECT_EQ(remote.static_static(pair.initiator.local), nullptr) << "asked again";
  }
}

TEST(RemoteIdentity, AnIdlePeerIsSmall) {
  EXPECT_LT(sizeof(RemoteIdentity) + sizeof(Handshake) + sizeof(CookieJar), 512U);
}

}  // namespace
}  // namespace wgring::noise

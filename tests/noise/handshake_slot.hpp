// What tests of one handshake slot share: two parties, and the claim that a refusal changes
// nothing.
#pragma once

#include <gtest/gtest.h>

#include "noise/constants.hpp"
#include "tests/noise/handshake_pair.hpp"

namespace wgring::noise {

inline constexpr Instant t0 = start_of_time;

[[nodiscard]] inline Timestamp stamp(std::uint8_t last_byte) {
  Timestamp timestamp{};
  timestamp[0] = 0x40;
  timestamp[11] = last_byte;
  return timestamp;
}

class HandshakeSlot : public testing::Test {
 protected:
  InitiationBytes initiate_stamped(const Timestamp& timestamp) {
    InitiationBytes message{};
    EXPECT_TRUE(a.handshake.create_initiation_stamped(message, 1, a.local, a.remote, timestamp,
                                                      pair.random.source()));
    return message;
  }
  // An attempt that must fail and leave the slot as it is, to the last byte.
  template <typename Attempt>
  void expect_refused(Party& party, Attempt attempt, std::string_view what = {}) {
    const test::Buffer before = party.image();
    EXPECT_FALSE(attempt()) << what;
    EXPECT_EQ(test::hex(party.image()), test::hex(before)) << what;
  }
  void expect_not_accepted(const InitiationBytes& message, Instant now, std::string_view what) {
    expect_refused(b, [&] { return Pair::accept(b, message, now); }, what);
  }

  Pair pair;
  Party& a = pair.initiator;
  Party& b = pair.responder;
};

}  // namespace wgring::noise

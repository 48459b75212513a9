// What the supervisor says to a call that waits for it.
#pragma once

#include <array>
#include <cstdint>

#include <sys/types.h>

namespace wgring::persona {

// One system call of a filtered thread, which stands still until there is a verdict.
struct Call {
  pid_t thread = 0;
  int number = 0;
  std::array<std::uint64_t, 6> arguments{};
};

struct Verdict {
  enum class Kind : std::uint8_t { carry_on, answer };
  Kind kind = Kind::carry_on;
  int error = 0;           // positive; 0: the call succeeded
  std::int64_t value = 0;  // what it returned then

  [[nodiscard]] static Verdict carry_on() { return {}; }
  [[nodiscard]] static Verdict fails_with(int error) {
    return {.kind = Kind::answer, .error = error, .value = 0};
  }
  [[nodiscard]] static Verdict returns(std::int64_t value) {
    return {.kind = Kind::answer, .error = 0, .value = value};
  }
};

using Judge = Verdict (*)(const Call&);

// A write to a TUN with IFF_VNET_HDR whose header names a kind of GSO fails with EINVAL.
[[nodiscard]] Verdict refuse_gso_write(const Call& call);
// The same, but the first writes of that kind pass: enough for a test at start.
[[nodiscard]] Verdict refuse_late_gso_write(const Call& call);

// A message with a UDP_SEGMENT control message fails with EIO; those before it in the same
// sendmmsg(2) are sent.
[[nodiscard]] Verdict refuse_gso_send(const Call& call);
// The same, but loopback takes all: it computes checksums, as the device on the way does not.
[[nodiscard]] Verdict refuse_gso_send_on_wire(const Call& call);
// A train leaves as one datagram: the kernel does not know the control message and says nothing.
[[nodiscard]] Verdict send_trains_whole(const Call& call);

}  // namespace wgring::persona

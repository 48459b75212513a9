// UdpPair: the two sockets of an interface, v4 and v6, on one port (protocol 18).
#pragma once

#include <cstdint>

#include "base/result.hpp"
#include "tun/fd.hpp"

namespace wgring::tun {

// Whether the kernel may hand over runs of datagrams at once (UDP_GRO).
enum class ReceiveRuns : std::uint8_t { off, on };

// Owner: the control thread, which lends it to an engine or the door. Order: a replacement is
// opened before the old pair is closed, and the old one is closed only after they let go of it
// (set_sockets). The sockets stay in the network namespace in which they were opened.
class UdpPair {
 public:
  UdpPair() noexcept = default;

  // Port 0: the kernel chooses one that is free in both families. One family may be missing in
  // the kernel, not both. A mark of 0 sets none and needs no privilege.
  [[nodiscard]] static Result<UdpPair> open(std::uint16_t port, std::uint32_t fwmark,
                                            ReceiveRuns runs = ReceiveRuns::off) noexcept;

  // One second of 56 Mbit/s; bursts of a whole turn of trains fit many times over.
  static constexpr int usual_buffer_bytes = 7 * 1024 * 1024;

  // On the port of `first`, which was made shareable before; the kernel then spreads what arrives.
  // `runs` are those of the others: where the kernel joins datagrams it has no eye for their type,
  // and takes any socket of the group for theirs. `buffer_bytes` is how much may wait in each.
  [[nodiscard]] static Result<UdpPair> join(const UdpPair& first, std::uint32_t fwmark,
                                            ReceiveRuns runs, int buffer_bytes) noexcept;
  // SO_REUSEPORT, for sockets of this user that ask for it as well.
  [[nodiscard]] Status share() noexcept;

  // -1: this kernel does not have the family.
  [[nodiscard]] int v4() const noexcept { return v4_.get(); }
  [[nodiscard]] int v6() const noexcept { return v6_.get(); }
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] std::uint32_t fwmark() const noexcept { return fwmark_; }
  // Both sockets have it.
  [[nodiscard]] bool has_fwmark(std::uint32_t fwmark) const noexcept {
    return fwmark_ == fwmark && !half_marked_;
  }
  // Both sockets or, after an error, none, unless has_fwmark() says otherwise. May be called while
  // an engine uses the pair.
  [[nodiscard]] Status set_fwmark(std::uint32_t fwmark) noexcept;

 private:
  enum class Bind : std::uint8_t { alone, shared };
  struct Receive {
    ReceiveRuns runs = ReceiveRuns::off;
    int buffer_bytes = usual_buffer_bytes;
  };

  [[nodiscard]] static Result<Fd> open_socket(int family, std::uint16_t port, std::uint32_t fwmark,
                                              const Receive& receive, Bind bind) noexcept;
  [[nodiscard]] static Result<UdpPair> open_once(std::uint16_t port, std::uint32_t fwmark,
                                                 const Receive& receive, Bind bind) noexcept;

  Fd v4_;
  Fd v6_;
  std::uint16_t port_ = 0;
  bool half_marked_ = false;  // v4 has another one
  std::uint32_t fwmark_ = 0;
};

}  // namespace wgring::tun

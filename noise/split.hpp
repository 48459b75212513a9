// Splitter: a super-packet of TUN (TSO, USO) as the packets it stands for.
//
//   | headers | payload 0 | payload 1 | payload 2 |      before
//   | headers   payload 0 |                              segment 0
//             | headers   payload 1 |                    segment 1: over the end of payload 0
//
// The headers slide down in front of each payload, over bytes that have been used up by then: no
// payload is ever moved.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.hpp"
#include "noise/constants.hpp"
#include "noise/vnet_header.hpp"

namespace wgring::noise {

class Splitter {
 public:
  // IP and TCP with all options; IPv6 extension headers within the same bound.
  static constexpr std::size_t headers_bytes_max = 192;

  // Checks packet and header against each other once; all lengths are known afterwards. nullopt:
  // they do not fit, nothing was written. Also takes a packet that only lacks its checksum.
  // The packet is a loan for the splitter's life and is overwritten by it.
  [[nodiscard]] static std::optional<Splitter> open(MutableBytes packet,
                                                    const VnetHeader& header) noexcept;

  [[nodiscard]] bool done() const noexcept { return next_ == count_; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  // The next segment, complete with lengths, sequence, flags and checksums. Its bytes, and as many
  // behind it as padding may take, are a loan until the following call. Not done (asserted).
  [[nodiscard]] MutableBytes next() noexcept;

 private:
  enum class Kind : std::uint8_t { checksum_only, tcp, udp };
  static constexpr std::size_t spill_bytes = padding_multiple;

  Splitter() noexcept = default;
  [[nodiscard]] bool measure(const VnetHeader& header) noexcept;
  void write_ip(MutableBytes segment) const noexcept;
  void write_transport(MutableBytes segment) const noexcept;

  MutableBytes packet_;
  ByteArray<headers_bytes_max> headers_;  // as they were
  ByteArray<spill_bytes> spilled_;        // the payload behind the segment that is lent now
  std::uint32_t headers_bytes_ = 0;
  std::uint32_t transport_at_ = 0;
  std::uint32_t checksum_at_ = 0;
  std::uint32_t payload_bytes_ = 0;  // of a segment that is not the last
  std::uint32_t count_ = 0;
  std::uint32_t next_ = 0;
  Kind kind_ = Kind::checksum_only;
  bool v4_ = true;
};

}  // namespace wgring::noise

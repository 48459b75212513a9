// Splitter: a super-packet of TUN (TSO, USO) as the packets it stands for.
//
//   | headers | payload 0 | payload 1 | payload 2 |      before
//   | headers   payload 0 |                              segment 0
//             | headers   payload 1 |                    segment 1: over the end of payload 0
//
// The headers slide down in front of each payload, over bytes that have been used up by then: no
// payload is ever moved. Parts of one packet may be cut at the same time; then the first payload of
// each part is moved, see part().
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

  [[nodiscard]] bool done() const noexcept { return next_ == end_; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  // Size of segment `index` with its headers.
  [[nodiscard]] std::uint32_t segment_bytes(std::uint32_t index) const noexcept;
  // The next segment, complete with lengths, sequence, flags and checksums. Its bytes, and as many
  // behind it as padding may take, are a loan until the following call. Not done (asserted).
  [[nodiscard]] MutableBytes next() noexcept;

  // --- in parts, each by whoever likes ---
  // False: headers and padding are too long for two parts to keep out of each other's way.
  [[nodiscard]] bool divisible() const noexcept {
    return kind_ != Kind::checksum_only && payload_bytes_ >= headers_bytes_ + spill_bytes;
  }
  // A splitter of the segments [first, end) alone. Nothing was cut yet. The payload of `first` is
  // used up by the part before it, so move_payload() comes before either of the two begins, and
  // the part begins with next_moved(). Only the first part (`first` is 0) begins with next().
  [[nodiscard]] Splitter part(std::uint32_t first, std::uint32_t end) const noexcept;
  // Of a part that nothing was taken of: does it begin with next_moved()?
  [[nodiscard]] bool is_later_part() const noexcept { return next_ > 0; }
  // Writes the payload of segment `index` to where it lies in a segment that begins at `segment`.
  void move_payload(std::uint32_t index, std::uint8_t* segment) const noexcept;
  // As next(), at the place to which the payload was moved.
  [[nodiscard]] MutableBytes next_moved(std::uint8_t* segment) noexcept;

 private:
  enum class Kind : std::uint8_t { checksum_only, tcp, udp };
  static constexpr std::size_t spill_bytes = padding_multiple;

  Splitter() noexcept = default;
  [[nodiscard]] bool measure(const VnetHeader& header) noexcept;
  [[nodiscard]] Bytes payload(std::uint32_t index) const noexcept;
  void complete(MutableBytes segment) noexcept;
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
  std::uint32_t end_ = 0;         // count_, or where this part ends
  std::uint16_t pseudo_sum_ = 0;  // of the pseudo header, but for the length
  Kind kind_ = Kind::checksum_only;
  bool v4_ = true;
};

}  // namespace wgring::noise

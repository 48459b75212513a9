// TunEnd: a TUN that always has a full batch. Its buffers are what the kernel would have filled.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/pipeline/device_pair.hpp"
#include "bench/support/packets.hpp"
#include "noise/batch.hpp"
#include "noise/split.hpp"

namespace wgring::bench {

struct Load {
  enum class Kind : std::uint8_t { lone, super };
  Kind kind = Kind::lone;      // lone packets of UDP, or super-packets of TCP
  std::size_t bytes = 1420;    // of one inner packet, with its headers
  std::uint32_t sessions = 1;  // each read is of a random one
  std::size_t supers = 1;      // super-packets in one batch
};

class TunEnd {
 public:
  explicit TunEnd(const Load& load);

  // Super-packets as they were: how cutting leaves their payload behind depends on who cuts.
  void refill() noexcept {
    for (const noise::Plain& plain : plains_) {
      copy_bytes({plain.data, super_.size()}, super_);
    }
  }

  // One turn's worth: feed(std::span<const noise::Plain>) for each batch.
  template <typename Feed>
  void read(Feed&& feed) {
    if (load_.kind == Load::Kind::super) {
      read_super(feed);
    } else {
      for (const noise::Plain& plain : plains_) {
        readdress(plain.data);
      }
      feed(std::span<const noise::Plain>{plains_});
    }
  }
  [[nodiscard]] std::size_t packets_per_turn() const noexcept {
    return load_.kind == Load::Kind::super ? load_.supers * segments_ : plains_.size();
  }

 private:
  void fill_super(const Flow& flow);
  void add(Packet packet, const noise::VnetHeader& header);

  // The core cuts them where they lie, so their headers are written anew each time.
  template <typename Feed>
  void read_super(Feed&& feed) {
    for (const noise::Plain& super : plains_) {
      copy_bytes({super.data, super_headers_.size()}, super_headers_);
      readdress(super.data);
    }
    feed(std::span<const noise::Plain>{plains_});
  }
  void readdress(std::uint8_t* packet) noexcept {
    if (load_.sessions > 1) {
      address_to(packet, static_cast<std::uint32_t>(random_.below(load_.sessions)));
    }
  }

  Load load_;
  sim::Random random_;
  std::vector<Packet> buffers_;
  std::vector<noise::Plain> plains_;
  Packet super_;
  std::size_t segments_ = 1;
  ByteArray<noise::Splitter::headers_bytes_max> super_headers_{};
};

}  // namespace wgring::bench

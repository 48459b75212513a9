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
};

class TunEnd {
 public:
  explicit TunEnd(const Load& load);

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
    return load_.kind == Load::Kind::super ? super_.segments : plains_.size();
  }

 private:
  // The adapter of super-packets. The core does not split yet, and a packet of one train may not
  // be overwritten before the train is sealed: the segments are copied out. Once Plain has its
  // `offload`, these are the two lines (and plains_ is for lone packets only):
  //   const noise::Plain plain{.data = super_.bytes.data(), .bytes = bytes, .offload = header};
  //   feed(std::span<const noise::Plain>{&plain, 1});
  template <typename Feed>
  void read_super(Feed&& feed) {
    readdress(super_.bytes.data());
    auto splitter = noise::Splitter::open(
        MutableBytes{super_.bytes}.first(super_.bytes.size() - noise::plain_tailroom_bytes),
        super_.header);
    WG_ASSERT(splitter.has_value());
    while (!splitter->done()) {
      std::size_t count = 0;
      for (; count < plains_.size() && !splitter->done(); ++count) {
        const MutableBytes segment = splitter->next();
        plains_[count].bytes = static_cast<std::uint32_t>(segment.size());
        copy_bytes({plains_[count].data, segment.size()}, segment);
      }
      feed(std::span<const noise::Plain>{plains_}.first(count));
    }
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
  SuperPacket super_;
};

}  // namespace wgring::bench

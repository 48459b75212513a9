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
  // The core cuts it where it lies, so its headers are written anew each time.
  template <typename Feed>
  void read_super(Feed&& feed) {
    copy_bytes(super_.bytes, super_headers_);
    readdress(super_.bytes.data());
    const std::size_t bytes = super_.bytes.size() - noise::plain_tailroom_bytes;
    const noise::Plain plain{.data = super_.bytes.data(),
                             .bytes = static_cast<std::uint32_t>(bytes),
                             .offload = super_.header};
    feed(std::span<const noise::Plain>{&plain, 1});
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
  ByteArray<noise::Splitter::headers_bytes_max> super_headers_{};
};

}  // namespace wgring::bench

// Pipeline: all that a packet meets inside the daemon, in one process and without the kernel.
//
//   TunEnd -> sender.on_tun() -> transmits ==the same slots==> receiver.on_udp() -> delivers
//          -> Joiner -> counted and dropped
#pragma once

#include <memory>

#include "bench/pipeline/device_pair.hpp"
#include "bench/pipeline/tun_end.hpp"
#include "tun/lanes.hpp"
#include "tun/offload/join.hpp"

namespace wgring::bench {

class Pipeline {
 public:
  // Both ends are one thread's, which has `lanes` to help it.
  Pipeline(const crypto::Aead& aead, const Load& load, std::uint32_t lanes = 0);

  // A batch from end to end. All of it arrives, or the process ends. Only what is measured calls
  // this one, so a profiler can be told to count in it alone.
  void turn();
  // The same several times, and a hash of every sealed and every delivered byte.
  [[nodiscard]] std::uint64_t hash_of_turns(int turns);
  [[nodiscard]] std::size_t packets_per_turn() const noexcept { return tun_.packets_per_turn(); }

  struct Totals {
    std::uint64_t packets = 0;  // delivered
    std::uint64_t bytes = 0;    // of them, joined ones without the headers that were saved
    std::uint64_t runs = 0;     // writes to TUN
    std::uint64_t trains = 0;   // sends to UDP
  };
  [[nodiscard]] const Totals& totals() const noexcept { return totals_; }
  [[nodiscard]] const tun::LaneCounters& lanes() const noexcept { return lanes_.counters(); }

 private:
  [[nodiscard]] noise::JobRunner start_lanes(std::uint32_t lanes);
  void step();
  void carry(Now now);
  void deliver();
  void mix(Bytes bytes) noexcept;

  tun::Lanes lanes_;
  DevicePair pair_;
  TunEnd tun_;
  std::unique_ptr<noise::Outbox> sent_ = std::make_unique<noise::Outbox>();
  std::unique_ptr<noise::Outbox> received_ = std::make_unique<noise::Outbox>();
  std::unique_ptr<tun::Joiner> joiner_ =
      std::make_unique<tun::Joiner>(tun::JoinPolicy{.tcp = true, .udp = true});
  std::array<noise::Wild, noise::wild_batch_max> wilds_;
  Totals totals_;
  bool hashing_ = false;
  std::uint64_t hash_ = 0;
};

}  // namespace wgring::bench

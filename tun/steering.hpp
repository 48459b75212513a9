// Steering: packets for a peer are read from the queue of the shard on which it lives, all of them,
// from the first (docs/adr/0010). The kernel's own way, a flow follows what is written to it,
// moves flows between queues, and what waits in the one is overtaken in the other.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/result.hpp"
#include "noise/prefix_watch.hpp"
#include "tun/fd.hpp"

namespace wgring::tun {

// A longest-prefix map in the kernel, and a program on the TUN that looks destinations up in it.
// A destination that is not there is queue 0's, whose shard finds no peer either.
// Owner: the process. Thread: the control thread, but for what watch() gives. Lifetime: outlives
// the Device that has its watch(), and is outlived by the TUN.
class Steering {
 public:
  Steering() noexcept = default;
  Steering(const Steering&) = delete;
  Steering& operator=(const Steering&) = delete;
  ~Steering();

  // Queue i of the TUN has to be shard i's. On an error flows go on as the kernel has them, also
  // where an earlier owner of the TUN left a program behind.
  // EPERM: no CAP_BPF, or no memory to lock (before 5.11); EINVAL: older than 4.16.
  [[nodiscard]] Status open(int tun_fd) noexcept;
  // Whether the map can still be changed, now that capabilities are gone; else closes.
  [[nodiscard]] Status prove() noexcept;
  [[nodiscard]] bool is_open() const noexcept { return tun_fd_ >= 0; }
  // Of the first shard's Device. Default-constructed while not open.
  [[nodiscard]] noise::PrefixWatch watch() noexcept;
  // Changes that the kernel did not take: packets of such prefixes are handed over. Any thread.
  [[nodiscard]] std::uint64_t refused() const noexcept {
    return refused_.load(std::memory_order_relaxed);
  }

  static constexpr std::uint32_t prefixes_max = std::uint32_t{1} << 20U;

 private:
  void close() noexcept;
  void set(const noise::Prefix& prefix, std::uint32_t shard) noexcept;
  void clear(const noise::Prefix& prefix) noexcept;

  Fd map_;
  int tun_fd_ = -1;
  std::atomic<std::uint64_t> refused_{0};
};

}  // namespace wgring::tun

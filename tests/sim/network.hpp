// Network: what happens to a datagram between two hosts. Everything in it is chance from one seed.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <unordered_map>
#include <vector>

#include "tests/sim/random.hpp"
#include "tests/sim/wire.hpp"

namespace wgring::sim {

// The same for all paths; changes over time. Fine weather is the default.
struct Weather {
  std::uint32_t loss_per_mille = 0;
  std::uint32_t duplicate_per_mille = 0;
  std::uint32_t corrupt_per_mille = 0;
  std::uint32_t congestion_per_mille = 0;  // the path sets CE where the sender said ECT
  Duration delay_min{};
  Duration delay_max{};
  bool keep_order = true;   // a later datagram of a host never overtakes
  Instant clogged_until{};  // nothing arrives before
};

struct Arrival {
  Instant at{};
  std::uint64_t sequence = 0;  // ties break by it
  Datagram datagram;
};

// Takes datagrams in order of sending and gives them out in order of (time, sequence).
class Network {
 public:
  explicit Network(std::uint64_t seed) noexcept : random_(seed) {}

  // Returns false when none of its copies will arrive (it is marked lost).
  bool send(const Datagram& datagram);
  // As it is, after the delay, whatever the weather: for injected and replayed bytes.
  void inject(Datagram datagram, Instant arrives_at);

  [[nodiscard]] bool empty() const noexcept { return queue_.empty(); }
  [[nodiscard]] Instant next_at() const noexcept {
    return queue_.empty() ? never : queue_.top().at;
  }
  [[nodiscard]] Datagram take() {
    Datagram datagram = std::move(const_cast<Arrival&>(queue_.top()).datagram);
    queue_.pop();
    return datagram;
  }

  // When the last that was sent arrives: where order is kept, what is sent next is behind it.
  [[nodiscard]] Instant held_until() const noexcept;

  Weather weather;
  // Says false for a datagram that the link shall take. Empty: all pass.
  std::function<bool(const Datagram&)> filter;

 private:
  struct Later {
    bool operator()(const Arrival& a, const Arrival& b) const noexcept {
      return a.at != b.at ? a.at > b.at : a.sequence > b.sequence;
    }
  };
  void queue_copy(const Datagram& datagram);
  void corrupt(Datagram& datagram);
  [[nodiscard]] Instant arrival_time(const Datagram& datagram);

  Random random_;
  std::uint64_t sequence_ = 0;
  std::priority_queue<Arrival, std::vector<Arrival>, Later> queue_;
  std::unordered_map<std::size_t, Instant> last_arrival_;  // per sending host
};

}  // namespace wgring::sim

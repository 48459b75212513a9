#include "tests/sim/network.hpp"

#include <algorithm>

namespace wgring::sim {
namespace {

constexpr std::uint8_t ecn_mask = 3;

}  // namespace

Instant Network::arrival_time(const Datagram& datagram) {
  Instant at = datagram.at + random_.between(weather.delay_min, weather.delay_max);
  at = std::max(at, weather.clogged_until);
  Instant& last = last_arrival_[datagram.from_host];
  if (weather.keep_order) {
    at = std::max(at, last);
  }
  last = std::max(last, at);
  return at;
}

Instant Network::held_until() const noexcept {
  Instant latest{};
  for (const auto& [host, at] : last_arrival_) {
    latest = std::max(latest, at);
  }
  return latest;
}

void Network::corrupt(Datagram& datagram) {
  datagram.genuine = false;
  const std::size_t at = random_.below(datagram.bytes.size());
  switch (random_.below(4)) {
    case 0:  // cut
      datagram.bytes.resize(at + 1);
      break;
    case 1:  // grown
      datagram.bytes.push_back(static_cast<std::uint8_t>(random_.next()));
      break;
    default:
      datagram.bytes[at] ^= static_cast<std::uint8_t>(1U << random_.below(8));
      break;
  }
}

void Network::queue_copy(const Datagram& datagram) {
  Datagram copy = datagram;
  if (random_.chance(weather.corrupt_per_mille)) {
    corrupt(copy);
  }
  if ((copy.traffic_class & ecn_mask) != 0 && random_.chance(weather.congestion_per_mille)) {
    copy.traffic_class |= ecn_mask;
  }
  const Instant at = arrival_time(copy);
  queue_.push({.at = at, .sequence = sequence_++, .datagram = std::move(copy)});
}

bool Network::send(const Datagram& datagram) {
  if (filter && !filter(datagram)) {
    return false;
  }
  if (random_.chance(weather.loss_per_mille)) {
    return false;
  }
  queue_copy(datagram);
  if (random_.chance(weather.duplicate_per_mille)) {
    queue_copy(datagram);
  }
  return true;
}

void Network::inject(Datagram datagram, Instant arrives_at) {
  queue_.push({.at = arrives_at, .sequence = sequence_++, .datagram = std::move(datagram)});
}

}  // namespace wgring::sim

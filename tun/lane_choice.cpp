#include "tun/lane_choice.hpp"

#include <algorithm>

#include <sched.h>

namespace wgring::tun {
namespace {

// One for the shard, one for the kernel's half of the work and for whoever the packets are for.
constexpr std::uint32_t processors_kept = 2;
constexpr std::uint32_t processors_min = 4;
constexpr std::uint32_t automatic_max = 3;

}  // namespace

std::uint32_t usable_processors() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  // A machine with more processors than fit the set has enough of them.
  if (::sched_getaffinity(0, sizeof set, &set) != 0) {
    return processors_kept + automatic_max;
  }
  return static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&set)));
}

LaneChoice choose_lanes(std::optional<std::uint32_t> wanted, std::uint32_t shards,
                        std::uint32_t processors) noexcept {
  if (wanted) {
    return {.count = *wanted, .why = "as asked"};
  }
  if (shards > 1) {
    return {.count = 0, .why = "several shards use the processors already"};
  }
  if (processors < processors_min) {
    return {.count = 0, .why = "fewer than 4 processors: lanes would take them from the kernel"};
  }
  return {.count = std::min(processors - processors_kept, automatic_max),
          .why = "processors beside the shard's and one for the kernel, at most 3"};
}

}  // namespace wgring::tun

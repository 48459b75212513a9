// How many lanes this machine gets, and why.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace wgring::tun {

// `why` is fixed text for the log.
struct LaneChoice {
  std::uint32_t count = 0;
  std::string_view why;
};

// Processors that the calling thread may run on; at least 1.
[[nodiscard]] std::uint32_t usable_processors() noexcept;
// Of each shard. nullopt: as many as are not worse than none, see docs/adr/0006.
[[nodiscard]] LaneChoice choose_lanes(std::optional<std::uint32_t> wanted, std::uint32_t shards,
                                      std::uint32_t processors) noexcept;

}  // namespace wgring::tun

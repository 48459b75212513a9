// Counters and events of the data path as log lines.
#pragma once

#include "tun/shard.hpp"

namespace wgring::daemon {

// Every counter that is not zero.
// `whose` begins each line.
void log_stats(const tun::ShardStats& stats, std::string_view whose);
// One line for what is on, one for each that is off and why.
void log_offloads(const tun::Offloads& offloads);
void log_events(const tun::Notices& notices);

}  // namespace wgring::daemon

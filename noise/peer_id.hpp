// PeerId: the number of a peer's slot in the Device; used again after the peer is gone.
#pragma once

#include <cstdint>

namespace wgring::noise {

using PeerId = std::uint32_t;
inline constexpr PeerId no_peer = 0xffff'ffffU;

}  // namespace wgring::noise

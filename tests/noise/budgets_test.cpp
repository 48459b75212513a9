// The sizes that docs/ARCHITECTURE.md promises under "Budgets". They are kept here, so that whoever
// makes one of these records larger meets the page that says otherwise.
#include "noise/keypair.hpp"
#include "noise/peer.hpp"

namespace wgring::noise {

static_assert(sizeof(Peer) <= 600);
static_assert(sizeof(Keypair) <= 1152, "1.1 KiB, most of it the replay window");

}  // namespace wgring::noise

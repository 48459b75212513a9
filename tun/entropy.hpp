// The system's randomness in the form the core takes it.
#pragma once

#include "noise/entropy.hpp"

namespace wgring::tun {

// Stateless; any thread.
[[nodiscard]] noise::Entropy system_entropy() noexcept;

}  // namespace wgring::tun

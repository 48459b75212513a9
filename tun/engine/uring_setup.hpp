// A ring of the kind the uring engine wants, and the trial that shows that it works.
#pragma once

#include <liburing.h>

#include "base/result.hpp"

namespace wgring::tun {

// Thread: the ring belongs to the calling thread from here on (SINGLE_ISSUER).
[[nodiscard]] Status open_ring(io_uring& ring, unsigned entries, unsigned completions) noexcept;

// Opens a small ring, asks for the operations, and moves bytes: success means that the engine
// will work here. Never asks for the kernel's version.
[[nodiscard]] Status probe_uring() noexcept;

}  // namespace wgring::tun

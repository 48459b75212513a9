// A ring of the kind the uring engine wants, and the trial that shows that it works.
//
// | form | needs | does |
// |---|---|---|
// | full  | DEFER_TASKRUN, SINGLE_ISSUER, CQE_SKIP, receives that stay (Linux 6.1) | everything |
// | basic | FAST_POLL, NODROP, SUBMIT_STABLE, REGISTER_PROBE (Linux 5.7) | single operations;
// effects |       |   by the ring where CQE_SKIP is there (5.17) |
#pragma once

#include <cstdint>

#include <liburing.h>

#include "base/result.hpp"

namespace wgring::tun {

enum class UringForm : std::uint8_t { full, basic };

// It carries out what the engine asks for and nothing else, where the kernel can restrict it
// (5.10). Thread: the ring belongs to the calling thread from here on (SINGLE_ISSUER).
[[nodiscard]] Status open_ring(io_uring& ring, UringForm form, unsigned entries,
                               unsigned completions) noexcept;

// Opens a small ring, asks for the operations, and moves bytes: success means that the engine
// will work here. Never asks for the kernel's version.
[[nodiscard]] Status probe_uring(UringForm form) noexcept;

}  // namespace wgring::tun

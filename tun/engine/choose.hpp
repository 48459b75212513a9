// Which engine this machine gets, and why.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.hpp"

namespace wgring::tun {

enum class EngineKind : std::uint8_t { automatic, epoll, uring, uring_basic };

[[nodiscard]] std::string_view engine_name(EngineKind) noexcept;

// `why` is fixed text for the log. `kind` is never automatic.
struct EngineChoice {
  EngineKind kind = EngineKind::epoll;
  std::string_view why;
};

// Tries io_uring in the calling thread's circumstances (seccomp filters differ between threads).
// An engine that was asked for and cannot be had is an error; who asks for uring gets uring_basic
// where there is no more. automatic never takes uring_basic (docs/adr/0007).
[[nodiscard]] Result<EngineChoice> choose_engine(EngineKind wanted) noexcept;

}  // namespace wgring::tun

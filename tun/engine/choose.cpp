#include "tun/engine/choose.hpp"

#include "tun/engine/uring_setup.hpp"

namespace wgring::tun {

std::string_view engine_name(EngineKind kind) noexcept {
  switch (kind) {
    case EngineKind::automatic:
      return "auto";
    case EngineKind::epoll:
      return "epoll";
    case EngineKind::uring:
      break;
  }
  return "uring";
}

Result<EngineChoice> choose_engine(EngineKind wanted) noexcept {
  if (wanted == EngineKind::epoll) {
    return EngineChoice{.kind = EngineKind::epoll, .why = "asked for"};
  }
  const Status probed = probe_uring();
  if (wanted == EngineKind::uring) {
    if (!probed) {
      return std::unexpected(probed.error());
    }
    return EngineChoice{.kind = EngineKind::uring, .why = "asked for, self-test passed"};
  }
  if (!probed) {
    return EngineChoice{.kind = EngineKind::epoll, .why = probed.error().what};
  }
  return EngineChoice{.kind = EngineKind::uring, .why = "io_uring passed its self-test"};
}

}  // namespace wgring::tun

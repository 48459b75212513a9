#include "tun/engine/choose.hpp"

#include "tun/engine/uring_setup.hpp"

namespace wgring::tun {
namespace {

Result<EngineChoice> choose_basic(std::string_view why) noexcept {
  if (const Status probed = probe_uring(UringForm::basic); !probed) {
    return std::unexpected(probed.error());
  }
  return EngineChoice{.kind = EngineKind::uring_basic, .why = why};
}

}  // namespace

std::string_view engine_name(EngineKind kind) noexcept {
  switch (kind) {
    case EngineKind::automatic:
      return "auto";
    case EngineKind::epoll:
      return "epoll";
    case EngineKind::uring_basic:
      return "uring-basic";
    case EngineKind::uring:
      break;
  }
  return "uring";
}

Result<EngineChoice> choose_engine(EngineKind wanted) noexcept {
  if (wanted == EngineKind::epoll) {
    return EngineChoice{.kind = EngineKind::epoll, .why = "asked for"};
  }
  if (wanted == EngineKind::uring_basic) {
    return choose_basic("asked for, self-test passed");
  }
  if (const Status probed = probe_uring(UringForm::full); !probed) {
    const std::string_view why = probed.error().what;
    if (wanted == EngineKind::automatic) {
      return EngineChoice{.kind = EngineKind::epoll, .why = why};
    }
    const Result<EngineChoice> basic = choose_basic(why);
    return basic ? basic : std::unexpected(probed.error());
  }
  return EngineChoice{.kind = EngineKind::uring,
                      .why = wanted == EngineKind::uring ? "asked for, self-test passed"
                                                         : "io_uring passed its self-test"};
}

}  // namespace wgring::tun

// The command line and the environment, as one checked value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "daemon/log.hpp"
#include "daemon/sandbox.hpp"
#include "tun/engine/choose.hpp"
#include "tun/offload/offloads.hpp"

namespace wgring::daemon {

struct Options {
  std::string interface_name;
  bool foreground = false;
  tun::EngineKind engine = tun::EngineKind::automatic;
  std::string aead = "auto";
  std::uint32_t shard_bits = 0;        // 2^shard_bits shards
  std::optional<std::uint32_t> lanes;  // none: as many as pay
  tun::Offloads offloads;              // those that were forbidden are off
  LogLevel log_level = LogLevel::info;
  SandboxMode sandbox = SandboxMode::automatic;
  std::string user;            // to become after set-up; empty: none
  std::optional<int> tun_fd;   // WG_TUN_FD
  std::optional<int> uapi_fd;  // WG_UAPI_FD
};

// Each as getenv() gives it; nullptr: not set. An empty one counts as not set.
struct Environment {
  const char* tun_fd = nullptr;
  const char* uapi_fd = nullptr;
  const char* foreground = nullptr;
  const char* log_level = nullptr;
  const char* no_offload = nullptr;
  const char* engine = nullptr;
  const char* aead = nullptr;
  const char* shards = nullptr;
  const char* lanes = nullptr;
  const char* sandbox = nullptr;
  const char* user = nullptr;

  [[nodiscard]] static Environment of_process() noexcept;
};

// Nothing to run: help, version, or an error of one line.
struct EarlyExit {
  int code = 0;
  std::string text;  // for standard output when code is 0, else for standard error
};

[[nodiscard]] std::variant<Options, EarlyExit> parse_options(int argc, const char* const* argv,
                                                             const Environment& environment);

}  // namespace wgring::daemon

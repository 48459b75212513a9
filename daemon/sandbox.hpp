// The system calls that are left when the process is set up, by libseccomp.
//
//   allowed     what the packets, the configuration socket, the watches and the end need
//   fatal       what only an intruder would call: exec, fork, ptrace, mount, a new ring ...
//   the rest    ENOSYS, as a kernel that does not have it: libraries know what to do then
#pragma once

#include <cstdint>
#include <string>

#include "tun/engine/choose.hpp"

namespace wgring::daemon {

enum class SandboxMode : std::uint8_t {
  automatic,  // as above, or none where the kernel has no seccomp
  kill,       // the rest is fatal too; no start where the kernel has no seccomp
  off,
};

struct SandboxNeeds {
  tun::EngineKind engine = tun::EngineKind::epoll;
  bool steering = false;  // the map of prefixes changes with them
};

// For all threads of the process, for good. For the log: "on ...", or why it is off. Throws
// SetupError.
[[nodiscard]] std::string enter_sandbox(SandboxMode mode, const SandboxNeeds& needs);

}  // namespace wgring::daemon

// Users and capabilities: what the process still may do when it is set up.
#pragma once

#include <optional>
#include <string>

#include <sys/types.h>

namespace wgring::daemon {

struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
};

// By name, or by number: of a number that no account has, the group is the same. Throws SetupError.
[[nodiscard]] Account find_account(const std::string& user);

struct PrivilegeNeeds {
  bool steering = false;  // the kernel's map of prefixes changes with them
};

// Keeps, of what it has, CAP_NET_ADMIN (marks, large buffers, links in other namespaces),
// CAP_NET_BIND_SERVICE (ports below 1024), CAP_IPC_LOCK where locked memory is limited, CAP_BPF
// while packets are steered; and becomes `account`, with no other group. For the log: what was
// kept. Throws SetupError. Capabilities belong to threads: before the first one is started.
[[nodiscard]] std::string drop_privileges(const std::optional<Account>& account,
                                          const PrivilegeNeeds& needs);

[[nodiscard]] bool has_lock_capability() noexcept;

}  // namespace wgring::daemon

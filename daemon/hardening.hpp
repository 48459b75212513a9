// What the process forbids itself and others before it holds a key.
#pragma once

#include <string>

namespace wgring::daemon {

// No core file, no debugger of the same user, no privilege by exec(), no death by a closed
// connection, no signal blocked. Throws SetupError. Before any key, and before the log is opened.
void harden_process();

// Again after a change of user, which makes the process dumpable on some systems.
void forbid_dumps();

// Locks every page of the process, those to come as well, so that no key is swapped out: not only
// the tables of keys, which lock themselves, but stacks and requests too. Empty, or why not. After
// the last fork(): locks are not inherited.
[[nodiscard]] std::string lock_memory();

// CAP_IPC_LOCK is needed for what will be locked later.
[[nodiscard]] bool locked_memory_is_limited() noexcept;

}  // namespace wgring::daemon

#include "daemon/hardening.hpp"

#include <cerrno>
#include <csignal>
#include <ctime>

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "daemon/privileges.hpp"
#include "daemon/setup_error.hpp"

namespace wgring::daemon {

void harden_process() {
  ::signal(SIGPIPE, SIG_IGN);
  // What the starter blocked stays blocked across exec(): SIGTERM among it could not end us.
  sigset_t nothing;
  ::sigemptyset(&nothing);
  ::pthread_sigmask(SIG_SETMASK, &nothing, nullptr);
  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) {
    fail_setup("cannot forbid core files: {}", errno_text(errno));
  }
  forbid_dumps();
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    fail_setup("cannot forbid new privileges: {}", errno_text(errno));
  }
  ::tzset();  // reads a file, which is not allowed later
}

void forbid_dumps() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    fail_setup("cannot forbid core files: {}", errno_text(errno));
  }
}

std::string lock_memory() {
  const rlimit unlimited{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  static_cast<void>(::setrlimit(RLIMIT_MEMLOCK, &unlimited));
  // Under a limit the first mmap() beyond it would fail.
  if (locked_memory_is_limited() && !has_lock_capability()) {
    return "RLIMIT_MEMLOCK, and no CAP_IPC_LOCK";
  }
  // On fault: a table for a million peers is mostly untouched. Since Linux 4.4.
  if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    return fmt::format("mlockall(): {}", errno_text(errno));
  }
  return {};
}

bool locked_memory_is_limited() noexcept {
  rlimit limit{};
  return ::getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY;
}

}  // namespace wgring::daemon

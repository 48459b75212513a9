// Each case in a process of its own, whose descriptors may go.
#include "daemon/descriptors.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <functional>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace wgring::daemon {
namespace {

// What the child says; 0: all as it should be.
int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(body());
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// As on a kernel before 5.9.
void forbid_close_range() {
  sock_filter lines[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{.len = std::size(lines), .filter = lines};
  const bool set = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                   ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
  if (!set || ::close_range(900, 900, 0) == 0 || errno != ENOSYS) {
    ::_exit(99);
  }
}

// The number of the first step that went wrong.
int close_some() {
  for (const int fd : {20, 21, 22, 40}) {
    if (::dup2(STDERR_FILENO, fd) != fd) {
      return 1;
    }
  }
  const std::array<int, 4> kept{40, 21, 21, 1};
  close_all_but(kept);
  for (const int fd : {0, 1, 2, 21, 40}) {
    if (!is_open(fd)) {
      return 2;
    }
  }
  for (int fd = 3; fd < 100; ++fd) {
    if (fd != 21 && fd != 40 && is_open(fd)) {
      return 3;
    }
  }
  close_all_but({});
  return is_open(21) || is_open(40) || !is_open(2) ? 4 : 0;
}

TEST(Descriptors, AllButTheseAreClosed) { EXPECT_EQ(in_child(close_some), 0); }

TEST(Descriptors, AllButTheseAreClosedWithoutCloseRange) {
  EXPECT_EQ(in_child([] {
              forbid_close_range();
              return close_some();
            }),
            0);
}

TEST(Descriptors, StandardStreamsThatAreClosedAreFilled) {
  for (int closed = 0; closed < 8; ++closed) {
    EXPECT_EQ(in_child([closed] {
                close_all_but({});
                for (int stream = 0; stream < 3; ++stream) {
                  if ((closed >> stream & 1) != 0) {
                    ::close(stream);
                  }
                }
                ensure_standard_streams();
                return is_open(0) && is_open(1) && is_open(2) && !is_open(3) ? 0 : 1;
              }),
              0)
        << closed;
  }
}

}  // namespace
}  // namespace wgring::daemon

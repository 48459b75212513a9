#include "tests/persona/supervisor.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <utility>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace wgring::persona {
namespace {

[[noreturn]] void fail(const char* call) {
  throw std::system_error(errno, std::generic_category(), call);
}

struct Pipe {
  OwnFd reader;
  OwnFd writer;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    fail("pipe2()");
  }
  return {.reader = OwnFd(ends[0]), .writer = OwnFd(ends[1])};
}

// Holds nothing of the caller: not its terminal, nor a TUN or socket that was handed over.
void let_go(std::array<int, 2> kept) {
  std::ranges::sort(kept);
  unsigned next = STDERR_FILENO + 1;
  for (const int fd : kept) {
    const auto number = static_cast<unsigned>(fd);
    if (number > next) {
      ::close_range(next, number - 1, 0);
    }
    next = std::max(next, number + 1);
  }
  ::close_range(next, ~0U, 0);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (null < 0 || ::dup2(null, stream) < 0) {
      std::_Exit(1);
    }
  }
  ::setsid();
  if (::chdir("/") != 0) {
    std::_Exit(1);
  }
}

Call call_of(const seccomp_notif& request) {
  Call call{.thread = static_cast<pid_t>(request.pid), .number = request.data.nr, .arguments = {}};
  std::ranges::copy(request.data.args, call.arguments.begin());
  return call;
}

void answer(int listener, const seccomp_notif& request, const Verdict& verdict) {
  seccomp_notif_resp response{};
  response.id = request.id;
  if (verdict.kind == Verdict::Kind::carry_on) {
    response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  } else {
    response.error = -verdict.error;
    response.val = verdict.value;
  }
  // It may have been killed meanwhile: nobody to tell then.
  static_cast<void>(::seccomp_notify_respond(listener, &response));
}

// Until no process is left under the filter.
[[noreturn]] void serve(int listener, Judge judge) {
  seccomp_notif* request = nullptr;
  if (::seccomp_notify_alloc(&request, nullptr) != 0) {
    std::_Exit(1);
  }
  for (;;) {
    pollfd waiting{.fd = listener, .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, -1) < 0 && errno != EINTR) {
      std::_Exit(1);
    }
    if ((waiting.revents & POLLIN) != 0) {
      *request = {};
      if (::seccomp_notify_receive(listener, request) == 0) {
        answer(listener, *request, judge(call_of(*request)));
      }
    } else if ((waiting.revents & POLLHUP) != 0) {  // POLLERR: interrupted
      std::_Exit(0);
    }
  }
}

[[noreturn]] void supervise(pid_t first, const OwnFd& from, OwnFd to, Judge judge) {
  let_go({from.get(), to.get()});
  int number = -1;
  if (::read(from.get(), &number, sizeof number) != sizeof number) {
    std::_Exit(1);
  }
  OwnFd listener = Target(first).take(number);
  if (!listener || ::write(to.get(), "+", 1) != 1) {
    std::_Exit(1);
  }
  to.reset();
  serve(listener.get(), judge);
}

}  // namespace

Supervisor Supervisor::start(Judge judge) {
  Pipe down = make_pipe();
  Pipe up = make_pipe();
  const pid_t self = ::getpid();
  // For kernels whose Yama lets only ancestors look into memory.
  ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  const pid_t between = ::fork();
  if (between < 0) {
    fail("fork()");
  }
  if (between == 0) {
    const pid_t supervisor = ::fork();
    if (supervisor != 0) {
      std::_Exit(0);
    }
    down.writer.reset();
    up.reader.reset();
    supervise(self, down.reader, std::move(up.writer), judge);
  }
  // Whether there is a supervisor is seen in attach().
  static_cast<void>(::waitpid(between, nullptr, 0));
  return {std::move(down.writer), std::move(up.reader)};
}

void Supervisor::attach(int listener) {
  // Four bytes and a write(2): no persona asks about that, and sendmsg(2) would wait for ever.
  char ready = 0;
  if (::write(to_.get(), &listener, sizeof listener) != sizeof listener ||
      ::read(from_.get(), &ready, 1) != 1) {
    throw std::system_error(EPERM, std::generic_category(), "the supervisor cannot attach");
  }
  to_.reset();
  from_.reset();
}

}  // namespace wgring::persona

#include "daemon/background.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/descriptors.hpp"
#include "daemon/setup_error.hpp"

namespace wgring::daemon {
namespace {

// What succeed() sends; no error line starts with it.
constexpr char ready_mark = '\0';

void print_error(std::string_view line) noexcept {
  std::fprintf(stderr, "wgring: %.*s\n", static_cast<int>(line.size()), line.data());
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 512> piece{};
  for (;;) {
    const ssize_t bytes = ::read(fd, piece.data(), piece.size());
    if (bytes > 0) {
      text.append(piece.data(), static_cast<std::size_t>(bytes));
    } else if (bytes == 0 || errno != EINTR) {
      return text;
    }
  }
}

// The starter's process: ends here, without running what the daemon's process registered.
[[noreturn]] void wait_for_daemon(const tun::Fd& pipe, pid_t daemon) {
  const std::string told = read_all(pipe.get());
  if (!told.empty() && told.front() == ready_mark) {
    std::_Exit(0);
  }
  if (!told.empty()) {
    print_error(told);
  } else {
    int status = 0;
    static_cast<void>(::waitpid(daemon, &status, 0));
    print_error(WIFSIGNALED(status)
                    ? fmt::format("the background process was ended by signal {}", WTERMSIG(status))
                    : "the background process ended before it was ready");
  }
  std::_Exit(1);
}

void detach() {
  if (::setsid() < 0 || ::chdir("/") != 0) {
    fail_setup("cannot leave the session of the starter: {}", errno_text(errno));
  }
  // Never one of the three itself: those are open since the start of main().
  const tun::Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (!null || ::dup2(null.get(), stream) < 0) {
      fail_setup("cannot open /dev/null: {}", errno_text(errno));
    }
  }
}

}  // namespace

Readiness Readiness::background(std::span<const int> kept) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    fail_setup("pipe2(): {}", errno_text(errno));
  }
  tun::Fd reader(ends[0]);
  tun::Fd writer(ends[1]);
  const pid_t daemon = ::fork();
  if (daemon < 0) {
    fail_setup("fork(): {}", errno_text(errno));
  }
  if (daemon > 0) {
    writer.reset();
    wait_for_daemon(reader, daemon);
  }
  std::vector<int> stay(kept.begin(), kept.end());
  stay.push_back(writer.get());
  reader.reset();
  Readiness readiness(std::move(writer));
  try {
    detach();
    close_all_but(stay);
  } catch (const SetupError& error) {
    readiness.fail_with(error.what());
    std::_Exit(1);
  }
  return readiness;
}

void Readiness::succeed() noexcept {
  if (pipe_) {
    // The starter may be gone: nobody to tell then.
    static_cast<void>(!::write(pipe_.get(), &ready_mark, 1));
    pipe_.reset();
  }
}

void Readiness::fail_with(std::string_view line) noexcept {
  if (pipe_) {
    static_cast<void>(!::write(pipe_.get(), line.data(), line.size()));
    pipe_.reset();
  } else {
    print_error(line);
  }
}

}  // namespace wgring::daemon

// Want of memory loses a line of the log, and nothing else.
#include "daemon/log.hpp"

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <exception>
#include <stdexcept>

#include <gtest/gtest.h>
#include <syslog.h>

#include "base/assert.hpp"
#include "daemon/setup_error.hpp"
#include "tests/daemon/allocations.hpp"

namespace wgring::daemon {
namespace {

#ifndef WG_TEST_OPERATORS_TAKEN
TEST(Log, WantOfMemoryAtAnyAllocationLosesTheLineAlone) {
  open_log(LogTarget::standard_error, LogLevel::info, "log-test");
  const Error error{.errno_value = EADDRINUSE, .what = "a call whose name takes memory, bind()"};
  std::size_t failed = 0;
  for (bool done = false; !done; done = !test::forget_failing_allocation()) {
    test::fail_allocation(failed++);
    EXPECT_NO_THROW(
        log_error("no sockets on port {}: {}, which is a line of some length that no "
                  "small buffer on the stack can hold, as it has {} bytes",
                  51820, error, 500));
  }
  EXPECT_GT(failed, 1U);
}
#endif

TEST(Log, AnErrorIsTheCallAndWhatTheKernelSaid) {
  EXPECT_EQ(fmt::format("{}", Error{.errno_value = EADDRINUSE, .what = "bind()"}),
            "bind(): Address already in use");
  EXPECT_EQ(fmt::format("{}", Error{.errno_value = 0, .what = "a cause"}), "a cause");
}

// In the background: here syslog(3) shows on stderr what it is told.
void open_shown_log() {
  open_log(LogTarget::system, LogLevel::info, "log-test");
  ::openlog("shown", LOG_PERROR, LOG_DAEMON);
}

[[noreturn]] void throw_something() { throw std::runtime_error("a cause"); }

TEST(LogDeathTest, AFailedAssertionIsToldToTheSystemsLog) {
  const auto fail = [] {
    open_shown_log();
    WG_ASSERT(1 + 1 == 3);
  };
  EXPECT_EXIT(fail(), testing::KilledBySignal(SIGABRT),
              "^shown: assertion failed: 1 \\+ 1 == 3 \\(.*log_test.cpp:");
}

TEST(LogDeathTest, AnExceptionThatNobodyCatchesIsToldToTheSystemsLog) {
  const auto fail = []() noexcept {
    open_shown_log();
    throw_something();
  };
  EXPECT_EXIT(fail(), testing::KilledBySignal(SIGABRT), "^shown: nobody caught: a cause");
}

TEST(LogDeathTest, AnEndWithoutAnExceptionIsToldToTheSystemsLog) {
  const auto fail = [] {
    open_shown_log();
    std::terminate();
  };
  EXPECT_EXIT(fail(), testing::KilledBySignal(SIGABRT), "^shown: std::terminate\\(\\) without");
}

}  // namespace
}  // namespace wgring::daemon

// Want of memory loses a line of the log, and nothing else.
#include "daemon/log.hpp"

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/assert.hpp"
#include "daemon/setup_error.hpp"
#include "tests/daemon/allocations.hpp"
#include "tun/fd.hpp"

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

// What a process in the background says as it ends, to a log of this test's own.
class LastWords : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0) << "run it as root: " << std::strerror(errno);
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(::mount("none", "/dev", "tmpfs", 0, nullptr), 0) << std::strerror(errno);
    const sockaddr_un at{.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    ASSERT_EQ(::bind(log_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);  // NOLINT
  }
  void TearDown() override { EXPECT_EQ(::umount2("/dev", MNT_DETACH), 0); }
  // Of the process that `end` ends.
  std::string of(void (*end)()) {
    EXPECT_EXIT(
        {
          open_log(LogTarget::system, LogLevel::info, "log-test");
          end();
        },
        testing::KilledBySignal(SIGABRT), "");
    std::string told(1000, '\0');
    const ssize_t bytes = ::recv(log_.get(), told.data(), told.size(), MSG_DONTWAIT);
    told.resize(bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
    return told;
  }

  tun::Fd log_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
};
using LastWordsDeathTest = LastWords;

TEST_F(LastWordsDeathTest, AreOfAFailedAssertion) {
  EXPECT_THAT(of([] { WG_ASSERT(1 + 1 == 3); }),
              testing::MatchesRegex("<26>wgring\\[[0-9]+\\]: log-test: assertion failed: "
                                    "1 \\+ 1 == 3 \\(.*log_test.cpp:[0-9]+\\)"));
}

[[noreturn]] void throw_something() { throw std::runtime_error("a cause"); }
[[noreturn]] void throw_something_long() { throw std::runtime_error(std::string(2000, 'x')); }

TEST_F(LastWordsDeathTest, AreOfAnExceptionThatNobodyCatches) {
  EXPECT_THAT(of([]() noexcept { throw_something(); }),
              testing::EndsWith("]: log-test: nobody caught: a cause"));
}

TEST_F(LastWordsDeathTest, AreOfAnEndWithoutAnException) {
  EXPECT_THAT(of([] { std::terminate(); }),
              testing::EndsWith("]: log-test: std::terminate() without an exception"));
}

TEST_F(LastWordsDeathTest, AreCutToALine) {
  const std::string told = of([]() noexcept { throw_something_long(); });
  EXPECT_EQ(told.size(), 512U);
  EXPECT_THAT(told, testing::EndsWith(std::string(400, 'x')));
}

// Nobody reads: it ends all the same.
TEST_F(LastWordsDeathTest, AreNotWaitedFor) {
  const sockaddr_un at{.sun_family = AF_UNIX, .sun_path = "/dev/log"};
  const tun::Fd full{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  while (::sendto(full.get(), "x", 1, MSG_DONTWAIT,
                  reinterpret_cast<const sockaddr*>(&at),  // NOLINT
                  sizeof at) == 1) {
  }
  EXPECT_EQ(of([] { WG_ASSERT(1 + 1 == 3); }), "x");
}

}  // namespace
}  // namespace wgring::daemon

// Want of memory loses a line of the log, and nothing else.
#include "daemon/log.hpp"

#include <cerrno>
#include <cstddef>

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace wgring::daemon

// Threads bound to the processor that the calling one is on.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>

namespace wgring::tun::test {

inline cpu_set_t this_processor() {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<unsigned>(::sched_getcpu()), &one);
  return one;
}

// The calling thread, for as long as this lives. What a queueing discipline holds back for lo
// arrives by the processor that takes it out, and two of them do not keep its order.
class OneProcessor {
 public:
  OneProcessor() {
    const cpu_set_t one = this_processor();
    EXPECT_EQ(::sched_getaffinity(0, sizeof before_, &before_), 0);
    EXPECT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  }
  ~OneProcessor() { EXPECT_EQ(::sched_setaffinity(0, sizeof before_, &before_), 0); }
  OneProcessor(const OneProcessor&) = delete;
  OneProcessor& operator=(const OneProcessor&) = delete;

 private:
  cpu_set_t before_{};
};

}  // namespace wgring::tun::test

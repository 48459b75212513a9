// A system call of one thread that fails when it is told to, for as many times, and else is made.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tun/fd.hpp"

namespace wgring::tun::test {

// Told by the thread whose calls fail; answers for the kernel on another.
class FailingCall {
 public:
  void fail_next(int error, int count) {
    error_ = error;
    left_ = count;
  }
  // Times that are still to come.
  [[nodiscard]] int left() const { return left_; }

  // For the calling thread, for good. Returns the descriptor on which the kernel asks.
  [[nodiscard]] static Fd install(unsigned call) {
    const std::array<sock_filter, 4> program{
        sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
        sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, call},
        sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF},
        sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
    const sock_fprog filter{.len = program.size(),
                            .filter = const_cast<sock_filter*>(program.data())};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
      return {};
    }
    return Fd{static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                         SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter))};
  }
  // Until no thread is left to ask for.
  void serve(int listener) {
    pollfd waiting{.fd = listener, .events = POLLIN, .revents = 0};
    while (::poll(&waiting, 1, -1) == 1 && (waiting.revents & POLLIN) != 0) {
      seccomp_notif question{};
      if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question) != 0) {
        continue;
      }
      seccomp_notif_resp answer{};
      answer.id = question.id;
      if (left_ > 0) {
        left_ -= 1;
        answer.error = -error_;
      } else {
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
      }
      EXPECT_EQ(::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer), 0);
    }
  }

 private:
  std::atomic<int> error_{0};
  std::atomic<int> left_{0};
};

// Runs the check on a thread of its own; this one answers.
template <typename Check>
void with_failing(unsigned call, Check check) {
  FailingCall failing;
  constexpr int not_yet = -2;
  std::atomic<int> listener{not_yet};
  std::thread tried([&] {
    Fd asked = FailingCall::install(call);
    listener = asked ? asked.get() : -1;
    listener.notify_one();
    if (asked) {
      static_cast<void>(asked.release());  // to the thread that serves
      check(failing);
    }
  });
  listener.wait(not_yet);
  const Fd asked{listener.load()};
  EXPECT_TRUE(asked);
  if (asked) {
    failing.serve(asked.get());
  }
  tried.join();
}

}  // namespace wgring::tun::test

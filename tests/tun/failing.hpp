// System calls of one thread that fail when they are told to, for as many times, and else are made.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <thread>
#include <utility>
#include <vector>

#include <errno.h>
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
  void fail_next(int error, int count) { fail_later(0, error, count); }
  // After so many more that are made.
  void fail_later(int passed, int error, int count) {
    passed_ = passed;
    error_ = error;
    left_ = count;
  }
  // From now on only this call of those installed, with this descriptor, fails.
  void restrict_to(unsigned call, int fd) {
    only_call_ = static_cast<int>(call);
    only_fd_ = fd;
  }
  // Before each call that is made, on the thread that answers, while the other waits for it.
  void set_hook(std::function<void()> hook) { hook_ = std::move(hook); }
  // Times that are still to come.
  [[nodiscard]] int left() const { return left_; }
  // What the latest that failed was asked; after a look at left().
  [[nodiscard]] const seccomp_data& failed() const { return failed_; }

  // For the calling thread, for good. Returns the descriptor on which the kernel asks.
  [[nodiscard]] static Fd install(std::initializer_list<unsigned> calls) {
    std::vector<sock_filter> program{
        sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)}};
    for (const unsigned call : calls) {
      program.push_back(sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, call});
      program.push_back(sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF});
    }
    program.push_back(sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW});
    const sock_fprog filter{.len = static_cast<unsigned short>(program.size()),
                            .filter = program.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
      return {};
    }
    // Before Linux 5.19 (6.17 where the answer is quick) work of a ring ends a call that was
    // answered, and it is made again.
    Fd asked = install(filter, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    return asked ? std::move(asked) : install(filter, 0);
  }
  // Until no thread is left to ask for. A poll may end for nothing, with POLLERR: what is left of a
  // ring that this thread had comes as a signal that no handler sees, and what the listener's
  // calls wait for may be held by the thread that asks.
  void serve(int listener) {
    pollfd waiting{.fd = listener, .events = POLLIN, .revents = 0};
    while (::poll(&waiting, 1, -1) < 0 || (waiting.revents & (POLLIN | POLLHUP)) != POLLHUP) {
      seccomp_notif question{};
      if ((waiting.revents & POLLIN) == 0 ||
          ::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question) != 0) {
        continue;
      }
      seccomp_notif_resp answer{};
      answer.id = question.id;
      const bool is_meant = left_ > 0 && concerns(question.data);
      std::atomic<int>& counted = passed_ > 0 ? passed_ : left_;
      if (is_meant && &counted == &left_) {
        answer.error = -error_;
        failed_ = question.data;
      } else {
        if (hook_) {
          hook_();
        }
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
      }
      counted -= is_meant ? 1 : 0;
      // Work of a ring interrupted the call that waits for this: it is made again.
      if (!send(listener, answer)) {
        EXPECT_EQ(errno, ENOENT);
        counted += is_meant ? 1 : 0;
      }
    }
  }

 private:
  static bool send(int listener, seccomp_notif_resp& answer) {
    int result = 0;
    do {
      result = ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    } while (result != 0 && errno == EINTR);
    return result == 0;
  }
  [[nodiscard]] static Fd install(const sock_fprog& filter, unsigned long flags) {
    return Fd{static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                         SECCOMP_FILTER_FLAG_NEW_LISTENER | flags, &filter))};
  }
  [[nodiscard]] bool concerns(const seccomp_data& call) const {
    return only_call_ < 0 || (call.nr == only_call_ && static_cast<int>(call.args[0]) == only_fd_);
  }

  std::atomic<int> error_{0};
  std::atomic<int> passed_{0};
  std::atomic<int> left_{0};
  std::atomic<int> only_call_{-1};
  std::atomic<int> only_fd_{-1};
  seccomp_data failed_{};       // who sees in left_ that it failed sees this
  std::function<void()> hook_;  // set before the first call that is to see it
};

// Runs the check on a thread of its own; this one answers.
template <typename Check>
void with_failing(std::initializer_list<unsigned> calls, Check check) {
  FailingCall failing;
  constexpr int not_yet = -2;
  std::atomic<int> listener{not_yet};
  std::thread tried([&] {
    Fd asked = FailingCall::install(calls);
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

template <typename Check>
void with_failing(unsigned call, Check check) {
  with_failing({call}, check);
}

}  // namespace wgring::tun::test

// Signals that end the system calls of a thread, and do nothing else.
#pragma once

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

namespace wgring::tun::test {

inline constexpr int interrupting_signal = SIGUSR1;

// Without SA_RESTART: a call that sleeps gives EINTR. For the life of the process: a signal that
// comes late must not end it.
inline void catch_signals() {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  ASSERT_EQ(::sigaction(interrupting_signal, &action, nullptr), 0);
}

// The thread that makes it, as others see it.
class Target {
 public:
  // Looks until the thread sleeps in the kernel; false after twenty seconds.
  [[nodiscard]] bool wait_asleep() const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    while (std::chrono::steady_clock::now() < end) {
      std::string line;
      std::getline(std::ifstream("/proc/self/task/" + std::to_string(id_) + "/stat"), line);
      if (line.find(") S ") != std::string::npos) {
        return true;
      }
      std::this_thread::sleep_for(std::chrono::microseconds{100});
    }
    return false;
  }
  void interrupt() const { ::pthread_kill(thread_, interrupting_signal); }

 private:
  pthread_t thread_ = ::pthread_self();
  pid_t id_ = ::gettid();
};

// Interrupts the thread that makes it, as fast as it can, as long as it lives.
class SignalStorm {
 public:
  SignalStorm() {
    catch_signals();
    sender_ = std::thread([this, target = Target{}] {
      while (!stop_) {
        target.interrupt();
        std::this_thread::sleep_for(std::chrono::microseconds{20});
      }
    });
  }
  SignalStorm(const SignalStorm&) = delete;
  SignalStorm& operator=(const SignalStorm&) = delete;
  ~SignalStorm() {
    stop_ = true;
    sender_.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::thread sender_;
};

}  // namespace wgring::tun::test

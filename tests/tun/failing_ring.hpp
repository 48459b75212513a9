// Operations of a ring that fail: seccomp sees the call that enters it, and what is about to be
// submitted can be changed then. In place of the operation stands one that brings the completion.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <liburing.h>

namespace wgring::tun::test {

// The descriptor of the one ring of this process.
[[nodiscard]] inline int ring_of_process() {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code closed;
    if (std::filesystem::read_symlink(entry.path(), closed) == "anon_inode:[io_uring]") {
      return std::stoi(entry.path().filename().string());
    }
  }
  ADD_FAILURE() << "no ring";
  return -1;
}

// The hook of a FailingCall for io_uring_enter.
class FailingRing {
 public:
  // On the thread of the ring, when that is open.
  void find() {
    ring_fd_ = ring_of_process();
    std::ifstream maps{"/proc/self/maps"};
    for (std::string line; std::getline(maps, line);) {
      const bool holds_entries =
          line.find("anon_inode:[io_uring]") != std::string::npos &&
          std::stoull(line.substr(line.find("-s ") + 3), nullptr, 16) == IORING_OFF_SQES;
      if (holds_entries) {
        const std::uint64_t begin = std::stoull(line, nullptr, 16);
        const std::uint64_t end = std::stoull(line.substr(line.find('-') + 1), nullptr, 16);
        count_ = (end - begin) / sizeof(io_uring_sqe);
        entries_ = reinterpret_cast<io_uring_sqe*>(begin);
      }
    }
    ASSERT_NE(entries_.load(), nullptr) << "no entries of a ring are mapped";
  }
  // Each operation of this kind that is submitted from now on ends with the error.
  void fail(io_uring_op operation, int error) {
    operation_ = operation;
    error_ = error;
  }
  void fail_none() { error_ = 0; }
  // What was submitted before is changed as well: the ring fills each entry anew, so nothing looks.
  void change() {
    if (error_ == 0) {
      return;
    }
    for (std::size_t i = 0; i < count_; ++i) {
      change(entries_[i], operation_, ring_fd_, error_);
    }
  }

 private:
  // The call is what orders the two threads, and of that no tool knows.
  __attribute__((no_sanitize("thread"))) static void change(io_uring_sqe& entry, int operation,
                                                            int ring_fd, int error) {
    if (entry.opcode != operation) {
      return;
    }
    entry.opcode = IORING_OP_MSG_RING;
    entry.flags = IOSQE_CQE_SKIP_SUCCESS;
    entry.ioprio = 0;
    entry.fd = ring_fd;
    entry.off = entry.user_data;
    entry.addr = IORING_MSG_DATA;
    entry.len = static_cast<std::uint32_t>(-error);
    entry.msg_ring_flags = 0;
    entry.buf_group = 0;
    entry.personality = 0;
    entry.file_index = 0;
    entry.addr3 = 0;
  }

  std::atomic<io_uring_sqe*> entries_{nullptr};
  std::atomic<std::size_t> count_{0};
  std::atomic<int> ring_fd_{-1};
  std::atomic<int> operation_{0};
  std::atomic<int> error_{0};
};

}  // namespace wgring::tun::test

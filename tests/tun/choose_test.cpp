#include "tun/engine/choose.hpp"

#include <array>
#include <cstddef>
#include <thread>

#include <errno.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tun/engine/uring_setup.hpp"

namespace wgring::tun::test {
namespace {

// Makes a system call fail for the calling thread, for good.
bool deny(unsigned call, unsigned error) {
  const std::array<sock_filter, 4> program{
      sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, call},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  const sock_fprog filter{.len = program.size(),
                          .filter = const_cast<sock_filter*>(program.data())};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

template <typename Check>
void with_denied(unsigned call, unsigned error, Check check) {
  std::thread([&] {
    ASSERT_TRUE(deny(call, error));
    check();
  }).join();
}

TEST(ChooseEngine, EpollNeedsNoProbe) {
  with_denied(SYS_io_uring_setup, EPERM, [] {
    const auto choice = choose_engine(EngineKind::epoll);
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice->kind, EngineKind::epoll);
    EXPECT_FALSE(choice->why.empty());
  });
}

TEST(ChooseEngine, AutomaticTakesARingThatWorks) {
  const Status probed = probe_uring();
  ASSERT_TRUE(probed) << "these tests want a machine with io_uring: " << probed.error().what;
  const auto choice = choose_engine(EngineKind::automatic);
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->kind, EngineKind::uring);
  const auto forced = choose_engine(EngineKind::uring);
  ASSERT_TRUE(forced);
  EXPECT_EQ(forced->kind, EngineKind::uring);
}

TEST(ChooseEngine, ADeniedRingIsNamedAndReplaced) {
  struct Row {
    unsigned error;
    const char* word;
  };
  for (const Row& row : {Row{EPERM, "seccomp"}, Row{ENOSYS, "5.1"}, Row{EINVAL, "6.1"},
                         Row{ENOMEM, "MEMLOCK"}, Row{EMFILE, "files"}, Row{EIO, "io_uring"}}) {
    with_denied(SYS_io_uring_setup, row.error, [&] {
      const auto choice = choose_engine(EngineKind::automatic);
      ASSERT_TRUE(choice);
      EXPECT_EQ(choice->kind, EngineKind::epoll);
      EXPECT_NE(choice->why.find(row.word), std::string_view::npos) << choice->why;
      const auto forced = choose_engine(EngineKind::uring);
      ASSERT_FALSE(forced);
      EXPECT_EQ(forced.error().errno_value, static_cast<int>(row.error));
      EXPECT_EQ(forced.error().what, choice->why);
    });
  }
}

TEST(ChooseEngine, ARingThatCannotBeUsedIsFoundOutByTrying) {
  // Set-up works; registering, then entering does not.
  with_denied(SYS_io_uring_register, EPERM,
              [] { EXPECT_EQ(choose_engine(EngineKind::automatic)->kind, EngineKind::epoll); });
  with_denied(SYS_io_uring_enter, EPERM, [] {
    const auto choice = choose_engine(EngineKind::automatic);
    EXPECT_EQ(choice->kind, EngineKind::epoll);
    EXPECT_NE(choice->why.find("io_uring"), std::string_view::npos);
  });
}

TEST(ChooseEngine, NamesAreTheOnesOfTheOption) {
  EXPECT_EQ(engine_name(EngineKind::automatic), "auto");
  EXPECT_EQ(engine_name(EngineKind::epoll), "epoll");
  EXPECT_EQ(engine_name(EngineKind::uring), "uring");
}

}  // namespace
}  // namespace wgring::tun::test

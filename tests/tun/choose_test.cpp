#include "tun/engine/choose.hpp"

#include <errno.h>
#include <gtest/gtest.h>

#include "denied.hpp"
#include "tun/engine/uring_setup.hpp"

namespace wgring::tun::test {
namespace {

TEST(ChooseEngine, EpollNeedsNoProbe) {
  with_denied({.call = SYS_io_uring_setup, .error = EPERM}, [] {
    const auto choice = choose_engine(EngineKind::epoll);
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice->kind, EngineKind::epoll);
    EXPECT_FALSE(choice->why.empty());
  });
}

TEST(ChooseEngine, AutomaticTakesARingThatWorks) {
  const Status probed = probe_uring(UringForm::full);
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
    with_denied({.call = SYS_io_uring_setup, .error = row.error}, [&] {
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
  with_denied({.call = SYS_io_uring_register, .error = EPERM},
              [] { EXPECT_EQ(choose_engine(EngineKind::automatic)->kind, EngineKind::epoll); });
  with_denied({.call = SYS_io_uring_enter, .error = EPERM}, [] {
    const auto choice = choose_engine(EngineKind::automatic);
    EXPECT_EQ(choice->kind, EngineKind::epoll);
    EXPECT_NE(choice->why.find("io_uring"), std::string_view::npos);
  });
}

TEST(ChooseEngine, NamesAreTheOnesOfTheOption) {
  EXPECT_EQ(engine_name(EngineKind::automatic), "auto");
  EXPECT_EQ(engine_name(EngineKind::epoll), "epoll");
  EXPECT_EQ(engine_name(EngineKind::uring), "uring");
  EXPECT_EQ(engine_name(EngineKind::uring_basic), "uring-basic");
}

}  // namespace
}  // namespace wgring::tun::test

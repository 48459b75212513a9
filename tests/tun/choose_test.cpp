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

TEST(ChooseEngine, ARingWithoutProvidedSlotsIsTheBasicOne) {
  const Denied slots{.call = SYS_io_uring_register,
                     .error = EINVAL,
                     .any_argument = false,
                     .argument = IORING_REGISTER_PBUF_RING,
                     .argument_number = 1};
  with_denied(slots, [] {
    const auto choice = choose_engine(EngineKind::automatic);
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice->kind, EngineKind::epoll);
    EXPECT_NE(choice->why.find("PBUF_RING"), std::string_view::npos) << choice->why;
    const auto asked = choose_engine(EngineKind::uring);
    ASSERT_TRUE(asked);
    EXPECT_EQ(asked->kind, EngineKind::uring_basic);
    EXPECT_EQ(asked->why, choice->why);
  });
}

TEST(ChooseEngine, TheBasicRingIsTakenWhenItIsForced) {
  const auto choice = choose_engine(EngineKind::uring_basic);
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->kind, EngineKind::uring_basic);
  with_denied({.call = SYS_io_uring_setup, .error = EINVAL}, [] {
    const auto refused = choose_engine(EngineKind::uring_basic);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().what.find("5.5"), std::string_view::npos) << refused.error().what;
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

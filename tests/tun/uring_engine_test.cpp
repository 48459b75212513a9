// What only the ring engines do: slots that are lent, and a device that cannot be told not to wait.
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>

#include "engine_rig.hpp"

namespace wgring::tun::test {
namespace {

using namespace std::chrono_literals;

class UringEngineTest : public EngineRig<UringEngine> {};

TEST_F(UringEngineTest, MoreThanTheLentSlotsIsReadDirectlyAndTheReceiveComesBack) {
  const Peer peer("127.0.0.1");
  turn(1ms);  // the receive waits with all its slots
  for (std::uint32_t round = 1; round <= 3; ++round) {
    for (std::uint32_t i = 0; i < 100; ++i) {
      peer.send("127.0.0.1", pair_.port(), numbered(i));
    }
    ASSERT_TRUE(turn_until([&] { return got_udp_.size() == 100; }));
    for (std::uint32_t i = 0; i < 100; ++i) {
      ASSERT_EQ(got_udp_[i], numbered(i));
    }
    got_udp_.clear();
    turn(1ms);  // the socket is empty: it waits again
    EXPECT_GE(engine_->counters().receive_ring_empty, round);
  }
  EXPECT_EQ(engine_->counters().udp_no_buffer, 0U);
}

// A terminal in place of TUN: like TUN before 6.4 it does not know RWF_NOWAIT.
class UringOnTerminalTest : public EngineRig<UringEngine> {
 protected:
  void SetUp() override {
    EngineRig::SetUp();
    engine_.reset();
    terminal_ = Fd{::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)};
    ASSERT_TRUE(terminal_ && ::unlockpt(terminal_.get()) == 0);
    program_ = Fd{::open(::ptsname(terminal_.get()), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)};
    ASSERT_TRUE(program_);
    termios raw{};
    ::cfmakeraw(&raw);
    ASSERT_EQ(::tcsetattr(program_.get(), TCSANOW, &raw), 0);
    engine_ = std::make_unique<UringEngine>();
    ASSERT_TRUE(engine_->open({.tun_fd = terminal_.get(),
                               .wake_fd = wake_.fd(),
                               .trains = &pools_.trains(),
                               .packets = &pools_.packets()}));
  }
  // A terminal passes on what it has when it gets to it.
  [[nodiscard]] std::string read_program(std::size_t bytes) const {
    std::string text;
    pollfd ready{.fd = program_.get(), .events = POLLIN, .revents = 0};
    while (text.size() < bytes && ::poll(&ready, 1, 2000) == 1) {
      std::array<char, 32> part{};
      const ssize_t count = ::read(program_.get(), part.data(), part.size());
      text.append(part.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
    }
    return text;
  }
  Fd terminal_;
  Fd program_;
};

TEST_F(UringOnTerminalTest, WritesGoDirectlyInOrder) {
  const auto bytes_of = [](const char* text) {
    return std::vector<std::uint8_t>{text, text + std::strlen(text)};
  };
  add_delivers({bytes_of("one "), bytes_of("two ")});
  submit();
  add_delivers({bytes_of("three")});
  submit();
  EXPECT_EQ(read_program(13), "one two three");
  EXPECT_EQ(engine_->counters().tun_written, 3U);
  EXPECT_EQ(engine_->counters().tun_errors.sum(), 0U);
}

TEST_F(UringOnTerminalTest, ReadsAreAskedForFirst) {
  turn(1ms);
  ASSERT_EQ(::write(program_.get(), "first", 5), 5);
  ASSERT_TRUE(turn_until([&] { return got_tun_.size() == 1; }));
  ASSERT_EQ(::write(program_.get(), "second", 6), 6);
  ASSERT_TRUE(turn_until([&] { return got_tun_.size() == 2; }));
  EXPECT_EQ(got_tun_[0], "first");
  EXPECT_EQ(got_tun_[1], "second");
}

}  // namespace
}  // namespace wgring::tun::test

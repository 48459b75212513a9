// What only the ring engines do: slots that are lent, a ring that is full or cannot be entered, and
// a device that cannot be told not to wait.
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>

#include "denied.hpp"
#include "engine_rig.hpp"
#include "failing.hpp"
#include "failing_ring.hpp"
#include "tun/engine/uring_setup.hpp"

namespace wgring::tun::test {
namespace {

using namespace std::chrono_literals;

class UringEngineTest : public EngineRig<UringEngine> {
 protected:
  // What the engine lends to the kernel is not there for it any more.
  static void unregister_buffers() {
    io_uring_buf_reg registration{};
    ASSERT_EQ(::syscall(SYS_io_uring_register, ring_of_process(), IORING_UNREGISTER_PBUF_RING,
                        &registration, 1),
              0)
        << errno;
  }
};

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

// A sandbox of system calls does not see what a ring is told to do.
TEST(UringSetup, ARingCarriesOutWhatTheEngineNeedsAndNothingElse) {
  for (const UringForm form : {UringForm::full, UringForm::basic}) {
    io_uring ring{};
    ASSERT_TRUE(open_ring(ring, form, 8, 16));
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring);
    ::io_uring_prep_openat(entry, AT_FDCWD, "/dev/null", O_RDONLY, 0);
    ASSERT_EQ(::io_uring_submit(&ring), 1);
    io_uring_cqe* completion = nullptr;
    ASSERT_EQ(::io_uring_wait_cqe(&ring, &completion), 0);
    EXPECT_EQ(completion->res, -EACCES);
    ::io_uring_cqe_seen(&ring, completion);
    EXPECT_EQ(::io_uring_register_eventfd(&ring, 0), -EACCES);
    const Fd null{::open("/dev/null", O_RDONLY)};
    char byte = 0;
    entry = ::io_uring_get_sqe(&ring);
    ::io_uring_prep_read(entry, null.get(), &byte, 1, 0);
    ASSERT_EQ(::io_uring_submit(&ring), 1);
    ASSERT_EQ(::io_uring_wait_cqe(&ring, &completion), 0);
    EXPECT_EQ(completion->res, 0);
    ::io_uring_queue_exit(&ring);
  }
}

TEST(UringSetup, WhereARingCannotBeRestrictedItWorksAllTheSame) {
  with_denied(restricting_a_ring, [] { EXPECT_TRUE(probe_uring(UringForm::basic)); });
}

// Otherwise the engine would arm it, see it fail and arm it again, without sleep.
TEST_F(UringEngineTest, AReceiveThatAlwaysFailsIsAskedForFirst) {
  const Peer peer("127.0.0.1");
  turn(1ms);
  unregister_buffers();
  constexpr std::uint64_t datagrams = 5;
  for (std::uint32_t i = 0; i < datagrams; ++i) {
    for (int idle = 0; idle < 20; ++idle) {
      turn(1ms);
    }
    peer.send("127.0.0.1", pair_.port(), numbered(i));
    ASSERT_TRUE(turn_until([&] { return got_udp_.size() == i + 1; }));
    EXPECT_EQ(got_udp_[i], numbered(i));
  }
  // Once for each datagram on each socket, and the first time.
  EXPECT_GE(engine_->counters().receive_ring_empty, 2U);
  EXPECT_LE(engine_->counters().receive_ring_empty, 2 * (datagrams + 1));
}

// Each ends the receive that stays in the ring.
TEST_F(UringEngineTest, EmptyDatagramsDoNotHoldBackWhatIsBehindThem) {
  const Peer peer("127.0.0.1");
  turn(1ms);
  for (int i = 0; i < 40; ++i) {
    peer.send("127.0.0.1", pair_.port(), "");
  }
  peer.send("127.0.0.1", pair_.port(), "behind");
  turn(1ms);
  turn(1ms);
  ASSERT_EQ(got_udp_.size(), 41U);
  EXPECT_EQ(got_udp_.back(), "behind");
}

// --- a ring that holds less than a turn wants ---

class UringNarrowTest : public EngineRig<UringNarrowEngine> {
 protected:
  // What the kernel says of the ring.
  [[nodiscard]] static std::string ring_state() {
    std::ifstream file("/proc/self/fdinfo/" + std::to_string(ring_of_process()));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Completions that had no room in the queue, by the kernel's list of them.
  [[nodiscard]] static std::size_t completions_waiting() {
    const std::string state = ring_state();
    const std::size_t list = state.find("CqOverflowList:");
    EXPECT_NE(list, std::string::npos) << state;
    std::size_t count = 0;
    for (std::size_t at = list; (at = state.find("user_data=", at)) != std::string::npos; ++at) {
      count += 1;
    }
    return count;
  }
};

TEST_F(UringNarrowTest, ATurnOfMoreEntriesThanTheRingHoldsKeepsOrder) {
  const Peer peer("127.0.0.1");
  const Peer host("10.9.0.1");
  turn(1ms);  // from here on effects are kept for the next look
  std::uint32_t next = 0;
  for (std::uint32_t outbox = 0; outbox < 3; ++outbox) {
    add_datagram(to_loopback(noise::Family::v4, peer.port()), numbered(outbox));
    std::vector<std::vector<std::uint8_t>> packets;
    for (std::uint32_t i = 0; i < 50; ++i) {
      packets.push_back(inner_udp(host.port(), numbered(next++)));
    }
    add_delivers(packets);
    engine_->submit(outbox_);
  }
  turn(1ms);
  for (std::uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(peer.receive(), numbered(i));
  }
  for (std::uint32_t i = 0; i < next; ++i) {
    ASSERT_EQ(host.receive(), numbered(i));
  }
  EXPECT_EQ(peer.receive(50), "") << "one of them left twice";
  EXPECT_EQ(engine_->counters().udp_sent, 3U);
  EXPECT_EQ(engine_->counters().tun_written, next);
}

TEST_F(UringNarrowTest, MoreCompletionsThanTheRingHoldsAreAllSeen) {
  const Peer peer("127.0.0.1");
  const Peer host("10.9.0.1");
  const std::vector<std::uint8_t> nonsense(40, 0x00);  // neither IPv4 nor IPv6
  constexpr std::uint32_t each = 40;
  turn(1ms);
  for (std::uint32_t round = 1; round <= 3; ++round) {
    // Only failures make completions.
    std::vector<std::vector<std::uint8_t>> packets;
    for (std::uint32_t i = 0; i < each; ++i) {
      packets.push_back(nonsense);
      packets.push_back(inner_udp(host.port(), numbered(i)));
    }
    add_delivers(packets);
    add_datagram(to_v4({198, 51, 100, 1}, 9), "no route");
    engine_->submit(outbox_);
    EXPECT_GT(completions_waiting(), 30U);
    // The receives have to find room among them.
    got_udp_.clear();
    for (std::uint32_t i = 0; i < 20; ++i) {
      peer.send("127.0.0.1", pair_.port(), numbered(i));
    }
    ASSERT_TRUE(turn_until([&] { return got_udp_.size() == 20; })) << got_udp_.size();
    for (std::uint32_t i = 0; i < 20; ++i) {
      EXPECT_EQ(got_udp_[i], numbered(i));
    }
    for (std::uint32_t i = 0; i < each; ++i) {
      ASSERT_EQ(host.receive(), numbered(i));
    }
    turn(1ms);
    EXPECT_EQ(completions_waiting(), 0U);
    const EngineCounters& counters = engine_->counters();
    EXPECT_EQ(counters.tun_errors[IoError::invalid], std::uint64_t{round} * each);
    EXPECT_EQ(counters.tun_written, std::uint64_t{round} * each);
    EXPECT_EQ(counters.send_errors[IoError::network_unreachable], round);
    EXPECT_EQ(counters.udp_received, std::uint64_t{round} * 20);
  }
  EXPECT_FALSE(fatal_);
}

// --- a ring that cannot be entered ---

class UringEnterTest : public EngineRig<UringEngine> {
 protected:
  // The ring belongs to the thread whose calls fail, from its beginning to its end.
  template <typename Check>
  void with_failing_enter(Check check) {
    engine_.reset();
    with_failing(SYS_io_uring_enter, [&](FailingCall& enter) {
      open_engine();
      check(enter);
      engine_.reset();
    });
  }
};

// EBUSY: of older kernels, while completions wait for room. EAGAIN: no memory for a request.
TEST_F(UringEnterTest, AnEnterThatIsPutOffIsMadeAgain) {
  for (const int error : {EBUSY, EAGAIN}) {
    with_failing_enter([&](FailingCall& enter) {
      const Peer peer("127.0.0.1");
      const Peer host("10.9.0.1");
      engine_->set_sockets(&pair_);
      for (int round = 0; round < 2; ++round) {
        turn(1ms);
        add_datagram(to_loopback(noise::Family::v4, peer.port()), "1");
        add_delivers({inner_udp(host.port(), "a"), inner_udp(host.port(), "b")});
        engine_->submit(outbox_);
        enter.fail_next(error, 3);
        turn(1ms);
        EXPECT_EQ(enter.left(), 0);
        EXPECT_EQ(peer.receive(), "1");
        EXPECT_EQ(host.receive(), "a");
        EXPECT_EQ(host.receive(), "b");
      }
      EXPECT_EQ(peer.receive(50), "") << "sent twice";
      EXPECT_EQ(host.receive(50), "") << "written twice";
      peer.send("127.0.0.1", pair_.port(), "in");
      EXPECT_TRUE(turn_until([&] { return got_udp_.size() == 1; }));
      EXPECT_EQ(engine_->counters().udp_sent, 2U);
      EXPECT_EQ(engine_->counters().tun_written, 4U);
      EXPECT_FALSE(fatal_);
      got_udp_.clear();
    });
  }
}

TEST_F(UringEnterTest, AnythingElseIsToldAsTheEnd) {
  with_failing_enter([&](FailingCall& enter) {
    enter.fail_next(EBADR, 1);
    collect();
    EXPECT_EQ(enter.left(), 0);
    ASSERT_TRUE(inbox_.notes.fatal);
    EXPECT_EQ(inbox_.notes.fatal->errno_value, EBADR);
    EXPECT_EQ(inbox_.notes.fatal->what, "io_uring_enter");
  });
}

// As the shard ends an engine: what is in the ring stays there, and nothing waits for it.
TEST_F(UringEnterTest, TheEndComesWithReadsAndEffectsInTheRing) {
  for (const bool effects : {false, true}) {
    with_failing_enter([&](FailingCall& enter) {
      const Peer peer("127.0.0.1");
      const Peer host("10.9.0.1");
      engine_->set_sockets(&pair_);
      turn(1ms);  // reads wait in the ring, and effects are kept for the next look
      const auto add_effects = [&] {
        add_datagram(to_loopback(noise::Family::v4, peer.port()), "1");
        add_delivers({inner_udp(host.port(), "a"), inner_udp(host.port(), "b")});
        engine_->submit(outbox_);
      };
      if (effects) {
        add_effects();
      }
      enter.fail_next(EBADR, 1000);
      collect();
      EXPECT_TRUE(inbox_.notes.fatal);
      add_effects();
      engine_->arm();
      engine_->set_sockets(&pair_);
      engine_->set_sockets(nullptr);
    });
  }
}

// --- a device that cannot be told not to wait ---

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
    while (text.size() < bytes && ::poll(&ready, 1, 20'000) == 1) {
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

// Calls of the packet path that fail a thousand times in a row: each time is counted, no turn
// lasts, and what comes after that arrives. H64.
#include <algorithm>
#include <array>
#include <string>

#include <sys/syscall.h>

#include "denied.hpp"
#include "engine_rig.hpp"
#include "failing.hpp"

namespace wgring::tun::test {
namespace {

using namespace std::chrono_literals;

constexpr int errors[] = {ENOBUFS, EPERM, ENETUNREACH, EMSGSIZE, EIO, EAGAIN};
constexpr int times = 1000;

// Not a loss: the call is made again.
bool is_again(int error) { return error == EAGAIN; }

class LastingErrorsTest : public EngineRig<EpollEngine> {
 protected:
  // Once with each error, each time with an engine that knows of none yet, on the thread whose
  // calls fail.
  template <typename Check>
  void with_each_error(unsigned call, Check check) {
    engine_.reset();
    with_failing(call, [&](FailingCall& failing) {
      ASSERT_TRUE(deny(restricting_a_ring));
      for (const int error : errors) {
        SCOPED_TRACE(std::strerror(error));
        got_udp_.clear();
        got_tun_.clear();
        open_engine();
        engine_->set_sockets(&pair_);
        check(failing, error);
        EXPECT_EQ(failing.left(), 0);
        expect_all_goes_on();
        EXPECT_FALSE(fatal_);
        EXPECT_FALSE(gone_);
        inbox_.clear();
        engine_.reset();
      }
    });
  }
  [[nodiscard]] const EngineCounters& counters() const { return engine_->counters(); }
  // As it goes on turning; in none of the turns more often than that.
  void turn_until_over(const FailingCall& failing, int per_turn_max) {
    for (int turns = 0; failing.left() > 0 && turns < times; ++turns) {
      const int before = failing.left();
      turn();
      EXPECT_GT(before - failing.left(), 0) << "a turn for nothing";
      EXPECT_LE(before - failing.left(), per_turn_max);
    }
  }

 private:
  void expect_all_goes_on() {
    const Peer host("10.9.0.1");
    for (const auto& [loopback, family] :
         {std::pair{"127.0.0.1", noise::Family::v4}, std::pair{"::1", noise::Family::v6}}) {
      const Peer peer(loopback);
      got_udp_.clear();
      peer.send(loopback, pair_.port(), "in");
      add_datagram(to_loopback(family, peer.port()), "sent");
      submit();
      EXPECT_TRUE(turn_until([&] { return !got_udp_.empty(); }));
      EXPECT_EQ(got_udp_.front(), "in");
      EXPECT_EQ(peer.receive(), "sent");
    }
    got_tun_.clear();
    host.send("10.9.0.2", 9, "out");
    EXPECT_TRUE(turn_until([&] { return !got_tun_.empty(); }));
    EXPECT_TRUE(got_tun_.front().ends_with("out"));
  }
};

TEST_F(LastingErrorsTest, OfSending) {
  const Peer peer("127.0.0.1");
  const noise::SocketAddress to = to_loopback(noise::Family::v4, peer.port());
  constexpr int at_once = 50;
  with_each_error(SYS_sendmmsg, [&](FailingCall& sendmmsg, int error) {
    sendmmsg.fail_next(error, times);
    while (!is_again(error) && sendmmsg.left() > 0) {
      const int before = sendmmsg.left();
      for (int i = 0; i < at_once; ++i) {
        add_datagram(to, "lost");
      }
      submit();
      ASSERT_EQ(before - sendmmsg.left(), at_once);
    }
    add_datagram(to, "arrives");
    submit();
    turn_until_over(sendmmsg, 2);
    turn(1ms);  // the socket has room again
    EXPECT_EQ(peer.receive(), "arrives");
    EXPECT_EQ(peer.receive(0), "");
    EXPECT_EQ(counters().send_errors[classify_errno(error)], is_again(error) ? 0U : times);
    EXPECT_EQ(counters().send_errors.sum(), is_again(error) ? 0U : times);
    EXPECT_EQ(counters().send_waits, is_again(error) ? times : 0U);
    EXPECT_EQ(counters().udp_sent, 1U);
  });
}

TEST_F(LastingErrorsTest, OfReceiving) {
  const Peer peer("127.0.0.1");
  with_each_error(SYS_recvmmsg, [&](FailingCall& recvmmsg, int error) {
    recvmmsg.fail_next(error, times);
    peer.send("127.0.0.1", pair_.port(), "first");
    turn_until_over(recvmmsg, is_again(error) ? 1 : 2 * UdpReceiver::batch_max);
    EXPECT_TRUE(turn_until([&] { return got_udp_.size() == 1; }));
    EXPECT_EQ(counters().receive_errors[classify_errno(error)], is_again(error) ? 0U : times);
    EXPECT_EQ(counters().receive_errors.sum(), is_again(error) ? 0U : times);
    EXPECT_EQ(counters().udp_received, 1U);
  });
}

TEST_F(LastingErrorsTest, OfReadingTun) {
  const Peer host("10.9.0.1");
  with_each_error(SYS_read, [&](FailingCall& read, int error) {
    read.restrict_to(SYS_read, device_.fd());
    read.fail_next(error, times);
    host.send("10.9.0.2", 9, "first");
    turn_until_over(read, 1);
    EXPECT_TRUE(turn_until([&] { return got_tun_.size() == 1; }));
    EXPECT_EQ(counters().tun_errors[classify_errno(error)], is_again(error) ? 0U : times);
    EXPECT_EQ(counters().tun_errors.sum(), is_again(error) ? 0U : times);
    EXPECT_EQ(counters().tun_read, 1U);
  });
}

}  // namespace
}  // namespace wgring::tun::test

// Each call of the door fails with each error that a kernel or a firewall has for it: it is
// counted, and the door goes on. H64.
#include "door_fixture.hpp"
#include "failing.hpp"
#include "tun/message.hpp"

namespace wgring::tun::test {
namespace {

constexpr int errors[] = {ENOBUFS,      ENOMEM,        EPERM,  EACCES,       ENETUNREACH, EMSGSIZE,
                          EIO,          ENETDOWN,      EINVAL, EHOSTUNREACH, ENODEV,      EPROTO,
                          ECONNREFUSED, EADDRNOTAVAIL, EFAULT, ETIMEDOUT,    EINTR,       EAGAIN};

#ifdef SYS_poll
constexpr unsigned poll_call = SYS_poll;
#else
constexpr unsigned poll_call = SYS_ppoll;
#endif

class DoorErrorsTest : public DoorTest {
 protected:
  // Once with each error, the door anew each time, with threads whose calls fail.
  template <typename Check>
  void with_each_error(unsigned call, Check check) {
    door.reset();
    with_failing(call, [&](FailingCall& failing) {
      for (const int error : errors) {
        SCOPED_TRACE(std::strerror(error));
        start();
        check(failing, error);
        EXPECT_EQ(failing.left(), 0);
        EXPECT_TRUE(wait_for([&] { return is_let_in(next()); })) << "it goes on";
        door.reset();
        while (!taken(1, 1ms).empty()) {  // what it gave
        }
      }
    });
  }
  // No other has its number.
  std::string next() { return initiation(++number_); }
  // That very one, within a while.
  bool is_let_in(const std::string& text) {
    const Peer peer("127.0.0.1");
    peer.send("127.0.0.1", group->port(), text);
    const Instant end = read_clock().boottime + 200ms;
    while (read_clock().boottime < end) {
      for (const noise::HandedInitiation& one : taken(1, 20ms)) {
        if (std::string(one.message.begin(), one.message.end()) == text) {
          return true;
        }
      }
    }
    return false;
  }

 private:
  std::uint32_t number_ = 0;
};

TEST_F(DoorErrorsTest, OfReceiving) {
  with_each_error(SYS_recvmmsg, [&](FailingCall& recvmmsg, int error) {
    recvmmsg.fail_next(error, 1);
    EXPECT_TRUE(wait_for([&] { return is_let_in(next()); })) << "it is asked again";
    const bool is_again = error == EAGAIN || error == EINTR;
    EXPECT_EQ(stats().engine.receive_errors[classify_errno(error)], is_again ? 0U : 1U);
  });
}

TEST_F(DoorErrorsTest, OfAnswering) {
  with_each_error(SYS_sendmmsg, [&](FailingCall& sendmmsg, int error) {
    inlet.set_crowded(true);  // whoever comes is answered with a cookie
    sendmmsg.fail_next(error, 1);
    const Peer peer("127.0.0.1");
    peer.send("127.0.0.1", group->port(), next());
    EXPECT_TRUE(wait_for([&] { return sendmmsg.left() == 0; }));
    const bool is_lost = error != EINTR && !blames_source(error);
    EXPECT_EQ(peer.receive(is_lost ? 0 : 20'000).empty(), is_lost);
    const ShardStats seen = stats();
    EXPECT_EQ(seen.engine.send_errors.sum(), is_lost ? 1U : 0U);
    EXPECT_EQ(seen.engine.sources_refused, blames_source(error) ? 1U : 0U);
    inlet.set_crowded(false);
  });
}

// What cannot be asked is tried.
TEST_F(DoorErrorsTest, OfAskingWhatCame) {
  with_each_error(poll_call, [&](FailingCall& poll, int error) {
    poll.fail_next(error, 3);
    EXPECT_TRUE(wait_for([&] { return is_let_in(next()) && poll.left() == 0; }));
    // One of two polls is of what came, the other of whether something did.
    EXPECT_EQ(stats().engine.receive_errors[classify_errno(error)] > 0, error != EINTR);
  });
}

// As a flood begins, and each few seconds of it.
TEST_F(DoorErrorsTest, OfDrawingLines) {
  with_each_error(SYS_setsockopt, [&](FailingCall& setsockopt, int error) {
    setsockopt.restrict_to(SYS_setsockopt, group->of(0).v4());  // those of the test have it as well
    setsockopt.fail_next(error, 1);
    const Peer flooder("127.0.0.1");
    EXPECT_TRUE(wait_for([&] {
      flood_from(flooder);
      std::ignore = taken(1, 1ms);
      return setsockopt.left() == 0;
    }));
    EXPECT_TRUE(wait_for([&] { return stats().engine.receive_errors.sum() > 0; }));
    EXPECT_EQ(stats().engine.receive_errors[classify_errno(error)], 1U);
  });
}

}  // namespace
}  // namespace wgring::tun::test

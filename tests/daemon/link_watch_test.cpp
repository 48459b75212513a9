// What is asked about the interface, and heard of it, fails with each error now and then: it is
// not taken for the interface's end, and what changes is seen all the same. H64.
#include "daemon/link_watch.hpp"

#include <chrono>
#include <cstring>

#include <sys/syscall.h>

#include "tests/tun/failing.hpp"
#include "tests/tun/space.hpp"

namespace wgring::daemon {
namespace {

using namespace std::chrono_literals;
using tun::test::FailingCall;

constexpr int errors[] = {ENOBUFS, ENOMEM, EPERM, ENETUNREACH, EMSGSIZE, EIO, EINTR, EAGAIN};

struct Watched {
  Watched() { watch.start(); }
  // What the watch says, until then or for three seconds.
  template <typename Condition>
  bool run_until(Condition condition) {
    for (int i = 0; i < 300 && !condition(); ++i) {
      io.run_for(10ms);
    }
    return condition();
  }

  tun::TunDevice device = *tun::test::create_plain("wgt0");
  Link link = Link::down;
  int routes = 0;
  bool gone = false;
  boost::asio::io_context io;
  LinkWatch watch{io, device,
                  LinkEvents{.on_link = [this](Link told) { link = told; },
                             .on_mtu = [](std::uint32_t) {},
                             .on_routes = [this] { routes += 1; },
                             .on_gone = [this] { gone = true; }}};
};

class LinkWatchTest : public tun::test::SpaceTest {
 protected:
  // Once with each error, on a thread whose calls fail.
  template <typename Check>
  void with_each_error(unsigned call, Check check) {
    tun::test::with_failing(call, [&](FailingCall& failing) {
      for (const int error : errors) {
        SCOPED_TRACE(std::strerror(error));
        Watched watched;
        check(watched, failing, error);
        EXPECT_EQ(failing.left(), 0);
        EXPECT_FALSE(watched.gone);
        run("ip link delete wgt0");
        EXPECT_TRUE(watched.run_until([&] { return watched.gone; }));
      }
    });
  }
};

TEST_F(LinkWatchTest, AnErrorOfAskingIsNoEnd) {
  with_each_error(SYS_ioctl, [](Watched& watched, FailingCall& ioctl, int error) {
    constexpr int calls_of_asking = 2;
    ioctl.restrict_to(SYS_ioctl, watched.device.fd());
    ioctl.fail_next(error, calls_of_asking);
    watched.watch.ask();
    set_up("wgt0");
    EXPECT_TRUE(watched.run_until([&] { return watched.link == Link::up; }));
  });
}

// The timer's question finds what no message told of.
TEST_F(LinkWatchTest, AfterAnErrorItIsAskedAgain) {
  tun::test::with_failing(SYS_ioctl, [](FailingCall& ioctl) {
    Watched watched;
    ioctl.restrict_to(SYS_ioctl, watched.device.fd());
    ioctl.fail_next(EIO, 4);
    watched.watch.ask();
    EXPECT_EQ(ioctl.left(), 2);
    EXPECT_TRUE(watched.run_until([&] { return ioctl.left() == 0; }));
    EXPECT_FALSE(watched.gone);
  });
}

TEST_F(LinkWatchTest, AfterAnErrorOfHearingAllMayHaveChanged) {
  with_each_error(SYS_recvmsg, [](Watched& watched, FailingCall& recvmsg, int error) {
    recvmsg.fail_next(error, 1);
    set_up("wgt0");
    EXPECT_TRUE(watched.run_until([&] { return watched.link == Link::up; }));
    const bool is_again = error == EINTR || error == EAGAIN;
    EXPECT_TRUE(is_again || watched.run_until([&] { return watched.routes > 0; }));
  });
}

}  // namespace
}  // namespace wgring::daemon

// Each call of the packet path fails with each error that a kernel, a firewall or a driver has for
// it, on each engine: it is counted, what was not concerned arrives, and nothing ends. H64.
#include <memory>

#include <sys/syscall.h>

#include "denied.hpp"
#include "engine_rig.hpp"
#include "failing.hpp"
#include "failing_ring.hpp"
#include "flow.hpp"

namespace wgring::tun::test {
namespace {

using namespace std::chrono_literals;

constexpr int errors[] = {ENOBUFS,      ENOMEM,        EPERM,  EACCES,   ENETUNREACH,
                          EHOSTUNREACH, EMSGSIZE,      EIO,    ENETDOWN, EINVAL,
                          ECONNREFUSED, EADDRNOTAVAIL, ENODEV, ENXIO,    EPROTO,
                          EFAULT,       ETIMEDOUT,     EINTR,  EAGAIN};

// Not a loss: the call is made again.
bool is_again(int error) { return error == EINTR || error == EAGAIN; }
// Of a train, the others are still sent.
bool is_of_one_datagram(int error) {
  return error == EMSGSIZE || error == ENOBUFS || error == ENOMEM;
}

// What comes to the host of IPv4 and TCP, though nobody listens: a copy, in the kernel's pieces.
class RawSegments {
 public:
  RawSegments() : fd_(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP)) {
    EXPECT_GE(fd_.get(), 0) << std::strerror(errno);
  }
  // Bytes behind the headers, of all that comes until these are all there, or nothing comes.
  [[nodiscard]] std::size_t receive_payload(std::size_t wanted) const {
    std::size_t payload = 0;
    for (std::size_t bytes = 1; bytes > 0;) {
      bytes = receive_within(payload < wanted ? 2000 : 0, fd_.get()).size();
      payload += bytes > headers_bytes ? bytes - headers_bytes : 0;
    }
    return payload;
  }

 private:
  static constexpr std::size_t headers_bytes = 52;  // with the options of Flow

  Fd fd_;
};

template <typename E>
class EngineErrorsTest : public EngineRig<E> {
 protected:
  static constexpr bool has_ring = !std::is_same_v<E, EpollEngine>;

  // Once with each error, each time with an engine that knows of none yet, on the thread whose
  // calls fail.
  template <typename Check>
  void with_each_error(std::initializer_list<unsigned> calls, Check check) {
    this->engine_.reset();
    with_failing(calls, [&](FailingCall& failing) {
      ASSERT_TRUE(deny(restricting_a_ring));  // it takes the operation that stands for a failed one
      for (const int error : errors) {
        SCOPED_TRACE(std::strerror(error));
        begin();
        check(failing, error);
        end();
      }
    });
  }
  template <typename Check>
  void with_each_error_of_the_ring(Check check) {
    FailingRing ring;
    with_each_error({SYS_io_uring_enter}, [&](FailingCall& enter, int error) {
      ring.find();
      enter.set_hook([&] { ring.change(); });
      check(ring, error);
      ring.fail_none();
    });
  }
  // The next write to TUN that the engine makes itself. A ring of before Linux 6.4 has no writes
  // that do not block: once it said so, all that follow are made directly.
  void fail_directly(unsigned call, io_uring_op operation, FailingCall& write, FailingRing& ring,
                     int error) {
    if constexpr (has_ring) {
      ring.find();
      write.set_hook([&] { ring.change(); });
      ring.fail(operation, EOPNOTSUPP);
    }
    write.restrict_to(call, this->device_.fd());
    write.fail_next(error, 1);
  }
  [[nodiscard]] const EngineCounters& counters() const { return this->engine_->counters(); }

  // What the host sends into the tunnel goes on, and what the peers send.
  void expect_all_goes_on() {
    const Peer peer("127.0.0.1");
    const Peer host("10.9.0.1");
    this->got_udp_.clear();
    this->got_tun_.clear();
    peer.send("127.0.0.1", this->pair_.port(), "in");
    host.send("10.9.0.2", 9, "out");
    this->add_datagram(to_loopback(noise::Family::v4, peer.port()), "sent");
    this->add_delivers({inner_udp(host.port(), "written")});
    this->submit();
    EXPECT_TRUE(
        this->turn_until([&] { return has(this->got_udp_, "in") && has(this->got_tun_, "out"); }));
    EXPECT_EQ(peer.receive(), "sent");
    EXPECT_EQ(host.receive(), "written");
  }

  // --- what comes of each error ---

  void expect_sending_settled(const char* loopback, noise::Family family) {
    const Peer peer(loopback);
    this->with_each_error({SYS_sendmmsg}, [&](FailingCall& sendmmsg, int error) {
      sendmmsg.fail_next(error, 1);
      this->add_train({.remote = to_loopback(family, peer.port()), .source = {}}, {"1", "2"},
                      this->pools_.trains());
      this->submit();
      EXPECT_EQ(sendmmsg.left(), 0);
      this->turn(1ms);
      const std::uint64_t lost = is_again(error) ? 0 : is_of_one_datagram(error) ? 1 : 2;
      EXPECT_EQ(this->counters().send_errors[classify_errno(error)], lost);
      EXPECT_EQ(this->counters().send_errors.sum(), lost);
      EXPECT_EQ(this->counters().send_waits, error == EAGAIN ? 1U : 0U);
      EXPECT_EQ(this->counters().udp_sent, 2 - lost);
      for (std::uint64_t i = lost; i < 2; ++i) {
        EXPECT_EQ(peer.receive(), std::to_string(i + 1));
      }
    });
  }

  void expect_receiving_settled(const char* loopback) {
    const Peer peer(loopback);
    constexpr std::uint32_t total = 100;  // more than any engine has lent to the kernel
    this->with_each_error({SYS_recvmmsg}, [&](FailingCall& recvmmsg, int error) {
      this->turn(1ms);
      recvmmsg.fail_next(error, 1);
      for (std::uint32_t i = 0; i < total; ++i) {
        peer.send(loopback, this->pair_.port(), numbered(i));
      }
      EXPECT_TRUE(this->turn_until([&] { return this->got_udp_.size() == total; }));
      EXPECT_EQ(recvmmsg.left(), 0);
      EXPECT_EQ(this->counters().receive_errors[classify_errno(error)], is_again(error) ? 0U : 1U);
      EXPECT_EQ(this->counters().receive_errors.sum(), is_again(error) ? 0U : 1U);
    });
  }

 private:
  static bool has(const std::vector<std::string>& all, const std::string& end) {
    return std::ranges::any_of(all, [&](const std::string& one) { return one.ends_with(end); });
  }
  void begin() {
    this->got_udp_.clear();
    this->got_tun_.clear();
    this->open_engine();
    this->engine_->set_sockets(&this->pair_);
  }
  void end() {
    expect_all_goes_on();
    EXPECT_FALSE(this->fatal_);
    EXPECT_FALSE(this->gone_);
    this->inbox_.clear();
    this->engine_.reset();
  }
};
TYPED_TEST_SUITE(EngineErrorsTest, Engines, EngineNames);

TYPED_TEST(EngineErrorsTest, OfSending) {
  this->expect_sending_settled("127.0.0.1", noise::Family::v4);
}

TYPED_TEST(EngineErrorsTest, OfSendingOverV6) {
  this->expect_sending_settled("::1", noise::Family::v6);
}

TYPED_TEST(EngineErrorsTest, OfReceiving) { this->expect_receiving_settled("127.0.0.1"); }

TYPED_TEST(EngineErrorsTest, OfReceivingOverV6) { this->expect_receiving_settled("::1"); }

TYPED_TEST(EngineErrorsTest, OfReadingTun) {
  const Peer host("10.9.0.1");
  this->with_each_error({SYS_read}, [&](FailingCall& read, int error) {
    read.restrict_to(SYS_read, this->device_.fd());
    read.fail_next(error, 1);
    for (std::uint32_t i = 0; i < 5; ++i) {
      host.send("10.9.0.2", 9, numbered(i));
    }
    EXPECT_TRUE(this->turn_until([&] { return this->got_tun_.size() == 5; }));
    EXPECT_EQ(read.left(), 0);
    EXPECT_EQ(this->counters().tun_errors[classify_errno(error)], is_again(error) ? 0U : 1U);
    EXPECT_EQ(this->counters().tun_errors.sum(), is_again(error) ? 0U : 1U);
  });
}

TYPED_TEST(EngineErrorsTest, OfWritingTun) {
  const Peer host("10.9.0.1");
  FailingRing ring;
  this->with_each_error({SYS_write, SYS_io_uring_enter}, [&](FailingCall& write, int error) {
    this->fail_directly(SYS_write, IORING_OP_WRITE, write, ring, error);
    this->add_delivers({inner_udp(host.port(), "1"), inner_udp(host.port(), "2")});
    this->submit();
    ring.fail_none();
    EXPECT_EQ(write.left(), 0);
    const std::uint64_t lost = error == EINTR ? 0 : 1;
    EXPECT_EQ(this->counters().tun_errors[classify_errno(error)], lost);
    EXPECT_EQ(this->counters().tun_errors.sum(), lost);
    EXPECT_EQ(this->counters().tun_written, 2 - lost);
    for (std::uint64_t i = lost; i < 2; ++i) {
      EXPECT_EQ(host.receive(), std::to_string(i + 1));
    }
  });
}

// --- of what is written in pieces ---

template <typename E>
class EngineErrorsTestOfRuns : public EngineErrorsTest<E> {
 protected:
  static constexpr std::uint32_t total = 30;
  static constexpr std::size_t payload_bytes = 900;

  EngineErrorsTestOfRuns() { this->with_offloads_ = true; }

  // Segments that every kernel takes as one, in as many pieces.
  void add_run() {
    wgring::test::Flow flow(true, true, 9);
    std::vector<std::vector<std::uint8_t>> packets;
    for (std::uint32_t i = 0; i < total; ++i) {
      packets.push_back(flow.next(payload_bytes));
      store_be32(&packets.back()[12], 0x0a090002);
      store_be32(&packets.back()[16], 0x0a090001);
      wgring::test::fix_checksums(packets.back());
    }
    this->add_delivers(packets);
  }
  // So many of them are lost, and counted; the others come to the host, in whatever pieces.
  void expect_settled(const RawSegments& host, int error, std::uint64_t lost) {
    EXPECT_EQ(this->counters().joining_refused, error == EINVAL ? 1U : 0U);
    EXPECT_EQ(this->counters().tun_errors[classify_errno(error)], lost);
    EXPECT_EQ(this->counters().tun_errors.sum(), lost);
    EXPECT_EQ(this->counters().tun_written, total - lost);
    const std::size_t arrives = (total - lost) * payload_bytes;
    EXPECT_EQ(host.receive_payload(arrives), arrives);
  }
};
TYPED_TEST_SUITE(EngineErrorsTestOfRuns, Engines, EngineNames);

TYPED_TEST(EngineErrorsTestOfRuns, OfWritingTun) {
  const RawSegments host;
  FailingRing ring;
  this->with_each_error({SYS_writev, SYS_io_uring_enter}, [&](FailingCall& writev, int error) {
    this->fail_directly(SYS_writev, IORING_OP_WRITEV, writev, ring, error);
    this->add_run();
    this->submit();
    ring.fail_none();
    EXPECT_EQ(writev.left(), 0);
    const bool written_again = error == EINTR || error == EINVAL;  // whole, or as packets
    this->expect_settled(host, error, written_again ? 0 : TestFixture::total);
  });
}

// --- of epoll itself ---

using EpollErrorsTest = EngineErrorsTest<EpollEngine>;

// Room for what is watched is limited (fs.epoll.max_user_watches), and takes memory.
TEST_F(EpollErrorsTest, OfWatchingSockets) {
  with_each_error({SYS_epoll_ctl}, [&](FailingCall& epoll_ctl, int error) {
    engine_->set_sockets(nullptr);
    epoll_ctl.fail_next(error, 6);
    engine_->set_sockets(&pair_);
    expect_all_goes_on();
    EXPECT_TRUE(turn_until([&] { return epoll_ctl.left() == 0; }));
    EXPECT_EQ(counters().receive_errors[classify_errno(error)], 6U);
    turn(1ms);
    EXPECT_TRUE(engine_->may_sleep());
  });
}

// A socket that is full is to tell when it has room, and then no more.
TEST_F(EpollErrorsTest, OfWatchingForRoom) {
  const Peer peer("127.0.0.1");
  with_each_error({SYS_epoll_ctl, SYS_sendmmsg}, [&](FailingCall& call, int error) {
    const auto send = [&](const std::string& text) {
      add_datagram(to_loopback(noise::Family::v4, peer.port()), text);
      submit();
      EXPECT_EQ(call.left(), 0);
    };
    call.fail_next(EAGAIN, 2);  // to send, and to watch
    send("first");
    EXPECT_EQ(counters().receive_errors[classify_errno(EAGAIN)], 1U);
    EXPECT_EQ(peer.receive(), "first");
    int calls = 0;
    call.set_hook([&] {
      if (++calls == 1) {  // to watch; the next is to watch no more
        call.fail_next(error, 1);
      }
    });
    call.fail_next(EAGAIN, 1);
    send("second");
    EXPECT_EQ(peer.receive(), "second");
    call.set_hook({});
    EXPECT_EQ(counters().receive_errors[classify_errno(error)], error == EAGAIN ? 2U : 1U);
    EXPECT_EQ(counters().receive_errors.sum(), 2U);
  });
}

// --- the same by the ring ---

template <typename E>
class RingErrorsTest : public EngineErrorsTest<E> {};
using Rings = ::testing::Types<UringEngine, UringBasicEngine, UringNarrowEngine>;
TYPED_TEST_SUITE(RingErrorsTest, Rings, EngineNames);

template <typename E>
class RingErrorsTestOfRuns : public EngineErrorsTestOfRuns<E> {};
TYPED_TEST_SUITE(RingErrorsTestOfRuns, Rings, EngineNames);

template <typename E>
class RingErrorsTestOfReceiving : public EngineErrorsTest<E> {};
using ReceivingRings = ::testing::Types<UringEngine, UringNarrowEngine>;
TYPED_TEST_SUITE(RingErrorsTestOfReceiving, ReceivingRings, EngineNames);

TYPED_TEST(RingErrorsTest, OfSending) {
  const Peer peer("127.0.0.1");
  this->with_each_error_of_the_ring([&](FailingRing& ring, int error) {
    this->turn(1ms);  // a quiet one: a lone datagram goes by the ring
    ring.fail(IORING_OP_SENDMSG, error);
    this->add_datagram(to_loopback(noise::Family::v4, peer.port()), "alone");
    this->submit();
    ring.fail_none();
    this->turn(1ms);  // EAGAIN: the socket has room again
    this->turn(1ms);
    const std::uint64_t lost = is_again(error) ? 0 : 1;
    EXPECT_EQ(this->counters().send_errors[classify_errno(error)], lost);
    EXPECT_EQ(this->counters().send_errors.sum(), lost);
    EXPECT_EQ(this->counters().send_waits, error == EAGAIN ? 1U : 0U);
    EXPECT_EQ(peer.receive(lost == 0 ? 2000 : 0), lost == 0 ? "alone" : "");
  });
}

TYPED_TEST(RingErrorsTestOfReceiving, OfReceiving) {
  const Peer peer("127.0.0.1");
  this->with_each_error_of_the_ring([&](FailingRing& ring, int error) {
    ring.fail(IORING_OP_RECVMSG, error);
    peer.send("127.0.0.1", this->pair_.port(), "first");
    this->turn(1ms);
    this->turn(1ms);
    ring.fail_none();
    EXPECT_TRUE(this->turn_until([&] { return this->got_udp_.size() == 1; }));
    const EngineCounters& counters = this->counters();
    if (error == ENOBUFS) {  // what it says where the kernel has used all slots
      EXPECT_GT(counters.receive_ring_empty, 0U);
    } else if (!is_again(error)) {
      EXPECT_GT(counters.receive_errors[classify_errno(error)], 0U);
    }
  });
}

TYPED_TEST(RingErrorsTest, OfReadingTun) {
  const Peer host("10.9.0.1");
  this->with_each_error_of_the_ring([&](FailingRing& ring, int error) {
    ring.fail(IORING_OP_READ, error);
    host.send("10.9.0.2", 9, "first");
    this->turn(1ms);
    ring.fail_none();
    EXPECT_TRUE(this->turn_until([&] { return this->got_tun_.size() == 1; }));
    if (!is_again(error)) {
      EXPECT_GT(this->counters().tun_errors[classify_errno(error)], 0U);
    }
  });
}

TYPED_TEST(RingErrorsTest, OfWritingTun) {
  const Peer host("10.9.0.1");
  this->with_each_error_of_the_ring([&](FailingRing& ring, int error) {
    ring.fail(IORING_OP_WRITE, error);
    this->add_delivers({inner_udp(host.port(), "1"), inner_udp(host.port(), "2")});
    this->submit();
    ring.fail_none();
    this->add_delivers({inner_udp(host.port(), "3")});
    this->submit();
    EXPECT_EQ(this->counters().tun_errors[classify_errno(error)], 2U);
    EXPECT_EQ(this->counters().tun_written, 1U);
    EXPECT_EQ(host.receive(), "3");
  });
}

TYPED_TEST(RingErrorsTestOfRuns, OfWritingTun) {
  const RawSegments host;
  this->with_each_error_of_the_ring([&](FailingRing& ring, int error) {
    ring.fail(IORING_OP_WRITEV, error);
    this->add_run();
    this->submit();
    ring.fail_none();
    this->expect_settled(host, error, error == EINVAL ? 0 : TestFixture::total);
  });
}

// The poll of it completes behind that, and brings nothing to go on with.
TYPED_TEST(RingErrorsTest, OfWritingToAPolledTunThatEnded) {
  this->engine_.reset();
  with_failing({SYS_io_uring_enter}, [&](FailingCall& enter) {
    ASSERT_TRUE(deny(restricting_a_ring));
    FailingRing ring;
    this->open_engine();
    ring.find();
    enter.set_hook([&] { ring.change(); });
    ring.fail(IORING_OP_READ, EAGAIN);  // from then on TUN is polled
    this->turn(1ms);
    this->turn(1ms);
    ring.fail_none();
    this->run("ip link delete wgt0");
    this->add_delivers({inner_udp(1, "too late")});
    this->submit();
    EXPECT_TRUE(this->turn_until([&] { return this->gone_; }, 10));
    this->turn(1ms);
    this->engine_->arm();
    EXPECT_TRUE(this->engine_->may_sleep());
    this->inbox_.clear();
    this->engine_.reset();
  });
}

// Readiness itself cannot be asked for: memory is short.
TYPED_TEST(RingErrorsTest, OfPolling) {
  this->with_each_error_of_the_ring([&](FailingRing& ring, int error) {
    ring.fail(IORING_OP_READ, EAGAIN);  // from then on TUN is polled
    this->turn(1ms);
    ring.fail(IORING_OP_POLL_ADD, error);
    for (int i = 0; i < 5; ++i) {
      this->turn(1ms);
    }
    EXPECT_EQ(this->counters().tun_errors[classify_errno(error)] > 0, !is_again(error));
    if (!is_again(error)) {        // then no look is spared, and nothing waits for the ring
      this->expect_all_goes_on();  // and uses up what was asked for before
      this->expect_all_goes_on();
    }
  });
}

}  // namespace
}  // namespace wgring::tun::test

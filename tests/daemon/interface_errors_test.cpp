// Each call with which sockets are opened and marked fails with each error, at each place: a set
// is refused whole and can be made again, a link that came up gets them later. H64.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/log.hpp"
#include "noise/messages.hpp"
#include "tests/daemon/interface_fixture.hpp"
#include "tests/tun/failing.hpp"
#include "tests/tun/space.hpp"

namespace wgring::daemon {
namespace {

using tun::test::FailingCall;

constexpr std::array errors{ENOBUFS, EPERM, ENETUNREACH, EMSGSIZE, EIO, EAGAIN};
constexpr int always = 1'000'000;

struct Call {
  unsigned number;
  std::string_view name;  // as errors tell it
  // Behind what shards have, and the first pairs of the door, all pairs are alike.
  int alike_from = 8;
  int step = 1;
};
constexpr Call marking{SYS_setsockopt, "setsockopt("};
constexpr std::array calls{Call{SYS_socket, "socket("}, Call{SYS_bind, "bind: "},
                           Call{SYS_getsockname, "getsockname"},
                           Call{SYS_setsockopt, "setsockopt(", 64, 7}};

struct Fault {
  Call call;
  int error = 0;
  int after = 0;
  int count = 1;
};

// What came of it: whether the call was made so often, and what the latest that failed was asked.
struct Trial {
  bool reached = false;
  seccomp_data failed{};
};

// An option that sockets can do without.
bool is_optional(const seccomp_data& call) {
  static const std::set<std::pair<int, int>> options{
      {SOL_SOCKET, SO_RCVBUFFORCE}, {SOL_SOCKET, SO_SNDBUFFORCE},       {SOL_SOCKET, SO_RCVBUF},
      {SOL_SOCKET, SO_SNDBUF},      {IPPROTO_IPV6, IPV6_AUTOFLOWLABEL}, {SOL_SOCKET, SO_RXQ_OVFL},
      {IPPROTO_UDP, UDP_GRO}};
  return call.nr == SYS_setsockopt &&
         options.contains({static_cast<int>(call.args[1]), static_cast<int>(call.args[2])});
}

struct Socket {
  std::uint16_t port = 0;
  std::uint32_t fwmark = 0;
};

// Of UDP, in all of this process.
std::vector<Socket> udp_sockets() {
  std::vector<Socket> all;
  for (int fd = 3; fd < 1024; ++fd) {
    int protocol = 0;
    socklen_t bytes = sizeof protocol;
    if (::getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &bytes) != 0 ||
        protocol != IPPROTO_UDP) {
      continue;
    }
    Socket& found = all.emplace_back();
    sockaddr_in6 at{};
    bytes = sizeof at;
    EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &bytes), 0);
    found.port = ntohs(at.sin6_port);  // at the same place in both families
    bytes = sizeof found.fwmark;
    EXPECT_EQ(::getsockopt(fd, SOL_SOCKET, SO_MARK, &found.fwmark, &bytes), 0);
  }
  return all;
}

class InterfaceErrorsTest : public InterfaceFixture {
 protected:
  static constexpr std::uint16_t port = 20'000;  // none that the kernel chooses by itself
  static constexpr std::uint16_t other_port = 20'001;
  static constexpr std::uint32_t mark = 7;
  static constexpr std::uint32_t other_mark = 8;

  InterfaceErrorsTest() {
    open_log(LogTarget::standard_error, LogLevel::info, "errors-test");
    tun::test::SpaceTest::set_up("lo");
    EXPECT_EQ(set(key_line("private_key", 64) + sockets_at(port, mark)), 0);
  }
  static std::string sockets_at(std::uint16_t at, std::uint32_t marked) {
    return "listen_port=" + std::to_string(at) + "\nfwmark=" + std::to_string(marked) + "\n";
  }

  // Every error at every place, until those are alike: from there on one of them at each.
  // The check tells whether the call was made so often.
  void for_each_fault(std::span<const Call> of, int count,
                      const std::function<bool(const Fault&)>& check) {
    for (const Call& call : of) {
      int after = 0;
      for (bool reached = true; reached; after += after < call.alike_from ? 1 : call.step) {
        ASSERT_LT(after, 5000);
        for (std::size_t i = 0; i < errors.size() && reached; ++i) {
          if (after >= call.alike_from && static_cast<std::size_t>(after) % errors.size() != i) {
            continue;
          }
          SCOPED_TRACE(std::string(call.name) + " fails after " + std::to_string(after) + ": " +
                       std::strerror(errors[i]));
          reached = check({.call = call, .error = errors[i], .after = after, .count = count});
          if (HasFailure()) {
            return;  // more of the same would hide it
          }
        }
      }
      EXPECT_GE(after, 2 * (1 + tun::UdpGroup::door_count)) << call.name;
    }
  }
  // On a thread whose call fails.
  template <typename Operation>
  static Trial try_with(const Fault& fault, Operation operation) {
    Trial trial;
    tun::test::with_failing(fault.call.number, [&](FailingCall& failing) {
      failing.fail_later(fault.after, fault.error, fault.count);
      operation();
      trial = {.reached = failing.left() < fault.count, .failed = failing.failed()};
    });
    return trial;
  }
  // What was refused says so once, by the name of the call.
  static void expect_tells(const Error& error, const Fault& fault) {
    EXPECT_EQ(error.errno_value, fault.error);
    EXPECT_TRUE(error.what.starts_with(fault.call.name)) << error.what;
  }
  // The line in the log, and no other.
  static void expect_told(const std::string& told, const std::string& what, const Fault& fault) {
    EXPECT_NE(told.find(what), std::string::npos) << told;
    EXPECT_NE(told.find(fault.call.name), std::string::npos) << told;
    EXPECT_NE(told.find(std::strerror(fault.error)), std::string::npos) << told;
    EXPECT_EQ(lines_of(told), 1) << told;
  }
  void retry() {
    testing::internal::CaptureStderr();
    interface_->retry_sockets();
    const std::string told = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(told.ends_with("UDP sockets on port 20000\n") && lines_of(told) == 1) << told;
  }
  static std::ptrdiff_t lines_of(const std::string& told) { return std::ranges::count(told, '\n'); }
  // The sockets of this process are those of this port and mark, and packets come and go by them.
  // Returns whether there is a door.
  bool expect_works(std::uint16_t at, std::uint32_t marked) {
    EXPECT_FALSE(interface_->lacks_sockets());
    EXPECT_EQ(device().listen_port, at);
    EXPECT_EQ(device().fwmark, marked);
    const std::vector<Socket> sockets = udp_sockets();
    for (const Socket& socket : sockets) {
      EXPECT_EQ(socket.port, at);
      EXPECT_EQ(socket.fwmark, marked);
    }
    const std::size_t of_shards = 2 * shards_->count();
    const bool has_door = sockets.size() != of_shards;
    EXPECT_EQ(sockets.size(), of_shards + (has_door ? 2 * tun::UdpGroup::door_count : 0));
    expect_receives(at, has_door);
    expect_sends();
    return has_door;
  }

 private:
  // A message of data for an index of each shard, and one for no index of ours.
  void expect_receives(std::uint16_t at, bool has_door) {
    std::uint64_t sent = 0;
    std::uint64_t strange = 0;
    const std::uint64_t before = received();
    const std::uint64_t strange_before = shards_->stats(0).engine.strangers_received;
    for (const char* const loopback : {"127.0.0.1", "::1"}) {
      const tun::test::Peer peer(loopback);
      for (std::uint32_t shard = 0; shard < shards_->count(); ++shard) {
        peer.send(loopback, at, data_for(shards_->mark().put_on(shard)));
      }
      peer.send(loopback, at, data_for(shards_->mark().put_on(0) ^ 1U << 31));
      sent += shards_->count() + 1;
      strange += has_door ? 1U : 0U;
    }
    for (int tries = 0; tries < 20'000 && received() - before < sent; ++tries) {
      ::usleep(100);
    }
    EXPECT_EQ(received() - before, sent);
    EXPECT_EQ(shards_->stats(0).engine.strangers_received - strange_before, strange);
  }
  [[nodiscard]] std::uint64_t received() {
    std::uint64_t sum = 0;
    for (std::uint32_t shard = 0; shard < shards_->count(); ++shard) {
      sum += shards_->stats(shard).engine.udp_received;
    }
    return sum;
  }
  [[nodiscard]] static std::string data_for(std::uint32_t index) {
    std::string message(noise::DataLayout::size_min, '\0');
    auto* const bytes = reinterpret_cast<std::uint8_t*>(message.data());
    bytes[0] = static_cast<std::uint8_t>(noise::MessageType::data);
    store_le32(bytes + noise::DataLayout::receiver_index, index);
    return message;
  }
  // Each shard to a peer of each family.
  void expect_sends() {
    const tun::test::Peer v4("127.0.0.1");
    const tun::test::Peer v6("::1");
    const std::string at_v4 = "endpoint=127.0.0.1:" + std::to_string(v4.port()) + "\n";
    const std::string at_v6 = "endpoint=[::1]:" + std::to_string(v6.port()) + "\n";
    const std::string begins = "persistent_keepalive_interval=1\n";
    EXPECT_EQ(set("replace_peers=true\n" + key_line("public_key", 76) + at_v4 + begins +
                  key_line("public_key", 77) + at_v4 + begins + key_line("public_key", 78) + at_v6 +
                  begins + key_line("public_key", 79) + at_v6 + begins),
              0);
    for (const tun::test::Peer* const peer : {&v4, &v4, &v6, &v6}) {
      EXPECT_EQ(peer->receive().size(), noise::InitiationLayout::size);
    }
    EXPECT_EQ(set("replace_peers=true\n"), 0);
  }
};

INSTANTIATE_TEST_SUITE_P(Shards, InterfaceErrorsTest, testing::Values(1, 2));

TEST_P(InterfaceErrorsTest, OfASetOfThePort) {
  interface_->set_link(Link::up);
  for_each_fault(calls, 1, [&](const Fault& fault) {
    Status applied;
    const Trial trial =
        try_with(fault, [&] { applied = apply(sockets_at(other_port, other_mark)); });
    if (!applied) {
      expect_tells(applied.error(), fault);
      EXPECT_TRUE(expect_works(port, mark));
      EXPECT_EQ(set(sockets_at(other_port, other_mark)), 0) << "the next such set";
      EXPECT_TRUE(expect_works(other_port, other_mark));
    } else if (!expect_works(other_port, other_mark)) {
      EXPECT_EQ(fault.error, EPERM) << "only what will not pass makes do without a door";
    } else {
      EXPECT_TRUE(!trial.reached || is_optional(trial.failed));
    }
    EXPECT_EQ(set(sockets_at(port, mark)), 0);
    return trial.reached;
  });
}

TEST_P(InterfaceErrorsTest, OfASetOfTheMarkAlone) {
  interface_->set_link(Link::up);
  for_each_fault({&marking, 1}, 1, [&](const Fault& fault) {
    Status applied;
    const Trial trial = try_with(fault, [&] { applied = apply(sockets_at(port, other_mark)); });
    EXPECT_EQ(applied.has_value(), !trial.reached);
    if (!applied) {
      expect_tells(applied.error(), fault);
      EXPECT_TRUE(expect_works(port, mark));
      EXPECT_EQ(set(sockets_at(port, other_mark)), 0) << "the next such set";
    }
    EXPECT_TRUE(expect_works(port, other_mark));
    EXPECT_EQ(set(sockets_at(port, mark)), 0);
    return trial.reached;
  });
}

// The mark of those that had the new one cannot be set back either.
TEST_P(InterfaceErrorsTest, OfTakingBackTheMarkAreMendedByTheNextSet) {
  interface_->set_link(Link::up);
  for (const std::uint32_t next : {other_mark, mark}) {
    SCOPED_TRACE(next);
    for_each_fault({&marking, 1}, 2, [&](const Fault& fault) {
      Status applied;
      const Trial trial = try_with(fault, [&] { applied = apply(sockets_at(port, other_mark)); });
      EXPECT_EQ(applied.has_value(), !trial.reached);
      if (!applied) {
        expect_tells(applied.error(), fault);
      }
      EXPECT_EQ(device().fwmark, applied ? other_mark : mark);
      EXPECT_EQ(set(sockets_at(port, next)), 0);
      EXPECT_TRUE(expect_works(port, next));
      EXPECT_EQ(set(sockets_at(port, mark)), 0);
      return trial.reached;
    });
  }
}

// What else the set asked for cannot be had, and the mark has been set by then.
TEST_P(InterfaceErrorsTest, OfUndoingASetOfTheMarkAreToldAndMendedByTheNextSet) {
  interface_->set_link(Link::up);
  std::string body = sockets_at(port, other_mark);
  for (std::uint32_t i = 0; i < 300; ++i) {
    body += key_line("public_key", 100 + i);
  }
  const auto to_set = static_cast<int>(udp_sockets().size());
  int last = 0;
  for_each_fault({&marking, 1}, 1, [&](const Fault& fault) {
    Status applied;
    memory_.fail_steps(0);
    testing::internal::CaptureStderr();
    const Trial trial = try_with(fault, [&] { applied = apply(body); });
    const std::string told = testing::internal::GetCapturedStderr();
    memory_.fail_steps(test::TestMemory::unlimited);
    const bool is_undoing = trial.reached && fault.after >= to_set;
    EXPECT_FALSE(applied);
    EXPECT_EQ(applied.error().errno_value, fault.after >= to_set ? ENOMEM : fault.error);
    EXPECT_EQ(lines_of(told), is_undoing ? 1 : 0) << told;
    last = fault.after;
    EXPECT_TRUE(is_undoing || expect_works(port, mark));
    EXPECT_EQ(device().fwmark, mark);
    EXPECT_EQ(set(""), 0);
    EXPECT_TRUE(expect_works(port, mark));
    return trial.reached;
  });
  EXPECT_EQ(last, 2 * to_set) << "each is undone";
}

TEST_P(InterfaceErrorsTest, OfTheLinkComingUp) {
  for_each_fault(calls, 1, [&](const Fault& fault) {
    testing::internal::CaptureStderr();
    const Trial trial = try_with(fault, [&] { interface_->set_link(Link::up); });
    const std::string told = testing::internal::GetCapturedStderr();
    EXPECT_EQ(lines_of(told), trial.reached && !is_optional(trial.failed) ? 1 : 0) << told;
    if (interface_->lacks_sockets()) {
      EXPECT_TRUE(udp_sockets().empty());
      expect_told(told, "no UDP sockets on port 20000: ", fault);
      retry();
      EXPECT_TRUE(expect_works(port, mark));
    } else if (!expect_works(port, mark)) {
      expect_told(told, "initiations have no sockets of their own", fault);
      EXPECT_EQ(set(sockets_at(other_port, mark)), 0);
      EXPECT_TRUE(expect_works(other_port, mark)) << "another port";
      EXPECT_EQ(set(sockets_at(port, mark)), 0);
    }
    interface_->set_link(Link::down);
    EXPECT_TRUE(udp_sockets().empty());
    return trial.reached;
  });
}

TEST_P(InterfaceErrorsTest, ThatLastAreToldOnceAndTriedUntilTheyPass) {
  for (const Call& call : calls) {
    for (const int error : errors) {
      const Fault fault{.call = call, .error = error, .count = always};
      SCOPED_TRACE(std::string(call.name) + std::strerror(error));
      testing::internal::CaptureStderr();
      const Trial trial = try_with(fault, [&] {
        interface_->set_link(Link::up);
        for (int tries = 0; tries < 1000; ++tries) {
          interface_->retry_sockets();
        }
        const Status applied = apply(sockets_at(other_port, other_mark));
        ASSERT_FALSE(applied);
        expect_tells(applied.error(), fault);
      });
      expect_told(testing::internal::GetCapturedStderr(), "no UDP sockets on port 20000: ", fault);
      EXPECT_TRUE(trial.reached);
      EXPECT_TRUE(interface_->lacks_sockets());
      EXPECT_TRUE(udp_sockets().empty());
      retry();
      EXPECT_TRUE(expect_works(port, mark));
      interface_->set_link(Link::down);
      if (HasFailure()) {
        return;
      }
    }
  }
}

// Such as will not pass: the set is made, and what it costs is told.
TEST_P(InterfaceErrorsTest, OfTheDoorThatASetDoesWithoutAreTold) {
  interface_->set_link(Link::up);
  const Fault fault{
      .call = calls[0], .error = EPERM, .after = static_cast<int>(2 * shards_->count())};
  testing::internal::CaptureStderr();
  const Trial trial =
      try_with(fault, [&] { EXPECT_TRUE(apply(sockets_at(other_port, other_mark))); });
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(trial.reached);
  expect_told(told, "initiations have no sockets of their own", fault);
  EXPECT_FALSE(expect_works(other_port, other_mark));
}

// Such as may pass.
TEST_P(InterfaceErrorsTest, OfTheDoorAreMendedByARetry) {
  const Fault fault{
      .call = calls[0], .error = ENOBUFS, .after = static_cast<int>(2 * shards_->count())};
  EXPECT_TRUE(try_with(fault, [&] { interface_->set_link(Link::up); }).reached);
  EXPECT_FALSE(expect_works(port, mark));
  EXPECT_TRUE(interface_->wants_retry());
  interface_->retry_sockets();
  EXPECT_TRUE(expect_works(port, mark));
  EXPECT_FALSE(interface_->wants_retry());
}

// Such as pass, and then such as will not.
TEST_P(InterfaceErrorsTest, OfTheDoorThatARetryFindsMissingAreTold) {
  Fault fault{.call = calls[0], .error = ENOBUFS, .after = static_cast<int>(2 * shards_->count())};
  EXPECT_TRUE(try_with(fault, [&] { interface_->set_link(Link::up); }).reached);
  fault.error = EPERM;
  fault.after = 0;
  testing::internal::CaptureStderr();
  EXPECT_TRUE(try_with(fault, [&] { interface_->retry_sockets(); }).reached);
  expect_told(testing::internal::GetCapturedStderr(), "initiations have no sockets of their own",
              fault);
  EXPECT_FALSE(interface_->wants_retry());
}

}  // namespace
}  // namespace wgring::daemon

// What a set, the link and the routes do to the Device and the sockets.
#include "daemon/interface.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <new>
#include <span>
#include <string>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/daemon/allocations.hpp"
#include "tests/daemon/interface_fixture.hpp"
#include "tests/sim/test_access.hpp"

namespace wgring::daemon {
namespace {

std::uint16_t free_port() {
  const auto pair = tun::UdpPair::open(0, 0);
  EXPECT_TRUE(pair);
  return pair->port();
}

// -1: nothing came.
ssize_t receive(int fd, int timeout_ms, std::span<char> into) {
  pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
  const bool is_there = ::poll(&ready, 1, timeout_ms) == 1;
  return is_there ? ::recv(fd, into.data(), into.size(), MSG_DONTWAIT) : -1;
}

// Of the socket of this process that is bound to this port; -1: there is none.
[[maybe_unused]] int mark_of_sockets(std::uint16_t port) {
  for (int fd = 3; fd < 1024; ++fd) {
    sockaddr_in address{};
    socklen_t bytes = sizeof address;
    int mark = -1;
    socklen_t mark_bytes = sizeof mark;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) == 0 &&
        address.sin_family == AF_INET && address.sin_port == htons(port) &&
        ::getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &mark_bytes) == 0) {
      return mark;
    }
  }
  return -1;
}

class InterfaceTest : public InterfaceFixture {
 protected:
  // Applies a set that changes everything, again and again from the same state, with want of memory
  // at another place each time. If it was not applied, nothing was.
  struct Attempt {
    bool applied;
    bool is_last;  // there was no want of memory any more
  };
  void expect_all_or_nothing(const std::function<Attempt(std::size_t number)>& apply) {
    std::size_t attempt = 0;
    for (bool is_last = false; !is_last; ++attempt) {
      ASSERT_LT(attempt, 5000U);
      SCOPED_TRACE(attempt);
      ASSERT_TRUE(start());
      interface_->set_link(Link::up);
      ASSERT_EQ(set("fwmark=7\n" + key_line("private_key", 64) + key_line("public_key", 1) +
                    "allowed_ip=10.0.0.0/8\n"),
                0);
      const DeviceStatus before = device();
      const auto [applied, last] = apply(attempt);
      is_last = last;
      const DeviceStatus after = device();
      EXPECT_EQ(after.fwmark, applied ? 8U : 7U);
      EXPECT_EQ(mark_of_sockets(after.listen_port), static_cast<int>(after.fwmark));
      EXPECT_EQ(after.listen_port != before.listen_port, applied);
      EXPECT_EQ(crypto::ct_equal(after.private_key.view(), before.private_key.view()), !applied);
      EXPECT_EQ(after.peer_count, applied ? many + 1 : 1U);
      EXPECT_EQ(applied ? "" : peers(), applied ? "" : "1:1");
    }
    EXPECT_GT(attempt, 3U);
  }
  // The port is none that the kernel chooses by itself.
  [[nodiscard]] static std::string change_of_everything() {
    std::string body = "fwmark=8\nlisten_port=20000\n" + key_line("private_key", 65);
    for (std::uint32_t i = 0; i < many; ++i) {
      body += key_line("public_key", i + 2) + "persistent_keepalive_interval=0\nallowed_ip=10." +
              std::to_string(i / 256) + "." + std::to_string(i % 256) + ".0/24\n";
    }
    return body;
  }
  static constexpr std::uint32_t many = 300;
};

INSTANTIATE_TEST_SUITE_P(Shards, InterfaceTest, testing::Values(1, 2));

TEST_P(InterfaceTest, PortIsRememberedWhileDownAndUsedWhenUp) {
  const std::uint16_t port = free_port();
  EXPECT_EQ(device().listen_port, 0);
  EXPECT_EQ(set("listen_port=" + std::to_string(port) + "\n"), 0);
  EXPECT_EQ(device().listen_port, port);
  EXPECT_TRUE(tun::UdpPair::open(port, 0)) << "no socket while the link is down";
  interface_->set_link(Link::up);
  EXPECT_FALSE(tun::UdpPair::open(port, 0));
  interface_->set_link(Link::down);
  EXPECT_TRUE(tun::UdpPair::open(port, 0));
  EXPECT_EQ(device().listen_port, port);
}

TEST_P(InterfaceTest, PortZeroBecomesARealOneThatIsKept) {
  interface_->set_link(Link::up);
  const std::uint16_t first = device().listen_port;
  EXPECT_NE(first, 0);
  EXPECT_EQ(set("listen_port=" + std::to_string(first) + "\n"), 0) << "the same port: no-op";
  interface_->set_link(Link::down);
  interface_->set_link(Link::up);
  EXPECT_EQ(device().listen_port, first);
}

TEST_P(InterfaceTest, PortZeroWhileUpIsReplacedByAnotherFreeOne) {
  interface_->set_link(Link::up);
  const std::uint16_t first = device().listen_port;
  EXPECT_EQ(set("listen_port=0\n"), 0);
  const std::uint16_t second = device().listen_port;
  EXPECT_NE(second, 0);
  EXPECT_NE(second, first);
  EXPECT_FALSE(tun::UdpPair::open(second, 0));
  EXPECT_TRUE(tun::UdpPair::open(first, 0)) << "the old sockets are closed";
}

TEST_P(InterfaceTest, BusyPortRefusesTheWholeSet) {
  interface_->set_link(Link::up);
  const std::uint16_t before = device().listen_port;
  const auto busy = tun::UdpPair::open(0, 0);
  ASSERT_TRUE(busy);
  EXPECT_EQ(set(key_line("private_key", 5) + "listen_port=" + std::to_string(busy->port()) + "\n" +
                key_line("public_key", 1)),
            EADDRINUSE);
  EXPECT_EQ(device().listen_port, before);
  EXPECT_TRUE(crypto::ct_is_zero(device().private_key.view()));
  EXPECT_EQ(peers(), "");
  EXPECT_FALSE(tun::UdpPair::open(before, 0)) << "the old port is still ours";
}

TEST_P(InterfaceTest, PortThatWasBusyWhenTheLinkCameUpIsTriedAgain) {
  auto busy = tun::UdpPair::open(0, 0);
  ASSERT_TRUE(busy);
  const std::uint16_t port = busy->port();
  EXPECT_EQ(set("listen_port=" + std::to_string(port) + "\n"), 0);
  interface_->set_link(Link::up);
  EXPECT_EQ(device().listen_port, port);
  EXPECT_EQ(set("listen_port=" + std::to_string(port) + "\n"), EADDRINUSE);
  *busy = {};
  EXPECT_EQ(set(key_line("public_key", 1)), 0);
  EXPECT_FALSE(tun::UdpPair::open(port, 0)) << "any set tries again";
}

TEST_P(InterfaceTest, PortThatWasBusyIsHadByARetry) {
  auto busy = tun::UdpPair::open(0, 0);
  ASSERT_TRUE(busy);
  const std::uint16_t port = busy->port();
  EXPECT_EQ(set("listen_port=" + std::to_string(port) + "\n"), 0);
  EXPECT_FALSE(interface_->lacks_sockets()) << "none are wanted while the link is down";
  interface_->set_link(Link::up);
  EXPECT_TRUE(interface_->lacks_sockets());
  interface_->retry_sockets();
  EXPECT_TRUE(interface_->lacks_sockets());
  *busy = {};
  interface_->retry_sockets();
  EXPECT_FALSE(interface_->lacks_sockets());
  EXPECT_FALSE(tun::UdpPair::open(port, 0));
}

// Peer n is spoken to at 10.0.0.(n % 5), and nothing is known of peer 3 but its key.
TEST_P(InterfaceTest, SourcesThatRoutesContradictAreForgotten) {
  constexpr std::uint32_t peers = 700;
  std::string body;
  for (std::uint32_t i = 1; i <= peers; ++i) {
    body += key_line("public_key", i) + "endpoint=192.0.2.1:" + std::to_string(i) + "\n";
  }
  EXPECT_EQ(set("fwmark=9\n" + body), 0);
  interface_->set_link(Link::up);
  const auto source_of = [](std::uint32_t number) {
    return noise::LocalSource{.ip = {.family = noise::Family::v4,
                                     .bytes = {10, 0, 0, static_cast<std::uint8_t>(number % 5)}},
                              .interface_index = 7};
  };
  const auto for_each_peer = [this](auto&& visit) {
    for (std::uint32_t shard = 0; shard < shards_->count(); ++shard) {
      (*shards_)[shard].call([&](tun::ShardContext& context) {
        noise::CoreTestAccess::core(context.device).peers().for_each([&](noise::Peer& peer) {
          if (peer.shard == shard) {
            visit(peer, peer.endpoint.remote.port);
          }
        });
      });
    }
  };
  for_each_peer([&](noise::Peer& peer, std::uint32_t number) {
    peer.endpoint.source = number == 3 ? noise::LocalSource{} : source_of(number);
  });
  const noise::LocalSource moved{.ip = source_of(2).ip, .interface_index = 8};
  std::uint32_t asked = 0;
  SourceWalk walk;
  const auto ask = [&](const tun::RouteQuery& query) -> std::optional<tun::RouteAnswer> {
    asked += 1;
    EXPECT_EQ(query.fwmark, 9U);
    EXPECT_EQ(query.local_port, device().listen_port);
    EXPECT_EQ(query.endpoint.source, source_of(query.endpoint.remote.port));
    if (query.endpoint.remote.port == 2) {  // it comes to another interface meanwhile
      for_each_peer([&](noise::Peer& peer, std::uint32_t number) {
        peer.endpoint.source = number == 2 ? moved : peer.endpoint.source;
      });
    }
    switch (query.endpoint.source.ip.bytes[3]) {
      case 0:
        return tun::RouteAnswer{.interface_index = 7};
      case 1:
        return tun::RouteAnswer{.errno_value = EINVAL};
      case 2:
        return tun::RouteAnswer{.interface_index = 8};
      case 3:
        return tun::RouteAnswer{.errno_value = ENETUNREACH};
      default:
        return std::nullopt;
    }
  };
  std::uint32_t pages = 1;
  while (!interface_->review_sources(walk, ask)) {
    pages += 1;
  }
  EXPECT_EQ(asked, peers - 1);
  EXPECT_GE(pages, 3U) << "the shard is not kept from its packets";
  for_each_peer([&](const noise::Peer& peer, std::uint32_t number) {
    const bool wrong = number % 5 == 1 || number % 5 == 2 || number == 3;
    const noise::LocalSource expected = number == 2 ? moved
                                        : wrong     ? noise::LocalSource{}
                                                    : source_of(number);
    EXPECT_EQ(peer.endpoint.source, expected) << number;
  });
}

TEST_P(InterfaceTest, RemovalsAreCountedAndNothingElse) {
  EXPECT_EQ(set(key_line("private_key", 5)), 0);
  crypto::PublicKey ours{};
  (*shards_)[0].call([&](tun::ShardContext& context) { ours = context.device.public_key(); });
  SetRequest own_key;
  own_key.peers.emplace_back().public_key = ours;
  const std::uint64_t before = device().removals;
  EXPECT_EQ(set(key_line("private_key", 6) + "fwmark=0\n" + key_line("public_key", 1)), 0);
  EXPECT_TRUE(interface_->apply(own_key));
  EXPECT_EQ(device().removals, before);
  EXPECT_EQ(device().peer_count, 2U);
  EXPECT_EQ(set(key_line("private_key", 5)), 0);
  EXPECT_EQ(device().peer_count, 1U) << "the peer that has our key is gone";
  EXPECT_EQ(device().removals, before + 1);
  EXPECT_EQ(set(key_line("public_key", 1) + "remove=true\n"), 0);
  EXPECT_EQ(device().removals, before + 2);
  EXPECT_EQ(set("replace_peers=true\n"), 0);
  EXPECT_EQ(device().removals, before + 3);
  PeerPage page;
  interface_->read_peers(0, page);
  EXPECT_EQ(page.removals, before + 3);
}

TEST_P(InterfaceTest, PeersComeBackInOrderOverManyPages) {
  std::string body;
  std::string expected;
  for (std::uint32_t i = 1; i <= 1000; ++i) {
    body += key_line("public_key", i) + "allowed_ip=10." + std::to_string(i / 256) + "." +
            std::to_string(i % 256) + ".0/24\n";
    expected += (i == 1 ? "" : " ") + std::to_string(i) + ":1";
  }
  EXPECT_EQ(set(body), 0);
  EXPECT_EQ(peers(), expected);
  EXPECT_EQ(set("replace_peers=true\n" + key_line("public_key", 7)), 0);
  EXPECT_EQ(peers(), "7:0");
}

// fault: boringtun-configuration
TEST_P(InterfaceTest, PeerWithMorePrefixesThanAVisitOrAPageTakes) {
  std::string body = key_line("public_key", 1) + "replace_allowed_ips=true\n";
  for (std::uint32_t i = 0; i < 5000; ++i) {
    body += "allowed_ip=10." + std::to_string(i / 256) + "." + std::to_string(i % 256) + ".0/24\n";
  }
  EXPECT_EQ(set(body + key_line("public_key", 2) + "allowed_ip=10.0.3.0/24\n"), 0);
  EXPECT_EQ(peers(), "1:4999 2:1") << "in sequence: the later section takes its prefix";
  EXPECT_EQ(set(key_line("public_key", 1) + "allowed_ip=-10.0.5.0/24\n"), 0);
  EXPECT_EQ(peers(), "1:4998 2:1");
}

TEST_P(InterfaceTest, RemovedAndUpdateOnlySectionsAddNothing) {
  EXPECT_EQ(set(key_line("public_key", 1) + key_line("public_key", 2)), 0);
  EXPECT_EQ(set(key_line("public_key", 1) + "remove=true\nallowed_ip=10.0.0.0/8\n" +
                key_line("public_key", 3) + "update_only=true\nallowed_ip=10.0.0.0/8\n"),
            0);
  EXPECT_EQ(peers(), "2:0");
}

TEST_P(InterfaceTest, MoreThanTheDeviceTakesIsRefusedWhole) {
  SetRequest request;
  const std::uint32_t peers_max = 1U << 20;
  for (std::uint32_t i = 0; i <= peers_max; ++i) {
    store_be32(request.peers.emplace_back().public_key.data(), i + 1);
  }
  const Status applied = interface_->apply(request);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().errno_value, ENOMEM);
  EXPECT_EQ(peers(), "");
}

TEST_P(InterfaceTest, PrefixesThatAReplaceTakesAwayMakeRoom) {
  EXPECT_EQ(set(key_line("public_key", 1) + "allowed_ip=10.0.0.0/8\n"), 0);
  SetRequest request;
  noise::AllowedIpChange change;
  change.prefix = {.address = {.family = noise::Family::v4, .bytes = {}}, .cidr = 9};
  request.prefixes.resize(std::size_t{1} << 22, change);
  store_be32(&request.peers.emplace_back().public_key[28], 2);
  request.peers.back().prefix_count = 1U << 22;
  EXPECT_EQ(interface_->apply(request).error().errno_value, ENOMEM) << "beside what is there";
  EXPECT_EQ(peers(), "1:1");
  request.replace_peers = true;
  EXPECT_TRUE(interface_->apply(request)) << "in its place";
  EXPECT_EQ(peers(), "2:1");
}

TEST_P(InterfaceTest, ChangesThatRemoveNeedNoMemory) {
  EXPECT_EQ(set(key_line("public_key", 1) + "allowed_ip=10.0.0.0/8\n"), 0);
  memory_.set_commit_budget(memory_.committed_bytes());
  std::string body = key_line("public_key", 1);
  for (std::uint32_t i = 0; i < 5000; ++i) {
    body += "allowed_ip=-10." + std::to_string(i / 256) + "." + std::to_string(i % 256) + ".0/24\n";
  }
  EXPECT_EQ(set(body + "allowed_ip=11.0.0.0/8\n"), 0) << "one half of it may not fail";
  EXPECT_EQ(peers(), "1:2");
}

#ifndef WG_TEST_OPERATORS_TAKEN
TEST_P(InterfaceTest, WantOfMemoryTakesBackTheMark) {
  interface_->set_link(Link::up);
  EXPECT_EQ(set("fwmark=7\n" + key_line("public_key", 1)), 0);
  SetRequest request;
  request.fwmark = 8;
  for (std::uint32_t i = 0; i < (1U << 20); ++i) {
    crypto::PublicKey& key = request.peers.emplace_back().public_key;
    key[0] = 1;
    store_be32(&key[28], 1);
  }
  test::limit_allocations(1 << 20);
  EXPECT_THROW(static_cast<void>(interface_->apply(request)), std::bad_alloc);
  test::limit_allocations(SIZE_MAX);
  EXPECT_EQ(device().fwmark, 7U);
  EXPECT_EQ(mark_of_sockets(device().listen_port), 7);
}

TEST_P(InterfaceTest, WantOfMemoryAtAnyAllocationAppliesNothing) {  // H73
  const std::string body = change_of_everything();
  expect_all_or_nothing([&](std::size_t attempt) {
    test::fail_allocation(attempt);
    bool applied = true;
    try {
      EXPECT_EQ(set(body), 0);
    } catch (const std::bad_alloc&) {
      applied = false;
    }
    return Attempt{.applied = applied, .is_last = !test::forget_failing_allocation()};
  });
}

// The set that opens them anew on its way has already been applied by then.
TEST_P(InterfaceTest, WantOfMemoryWhileThereAreNoSocketsAppliesAllOrNothing) {  // H73
  for (std::size_t attempt = 0, last = 0; last == 0; ++attempt) {
    SCOPED_TRACE(attempt);
    ASSERT_LT(attempt, 100U);
    ASSERT_TRUE(start());
    {
      const auto busy = tun::UdpPair::open(0, 0);
      ASSERT_TRUE(busy);
      ASSERT_EQ(set("listen_port=" + std::to_string(busy->port()) + "\n"), 0);
      interface_->set_link(Link::up);
    }
    test::fail_allocation(attempt);
    bool applied = true;
    try {
      EXPECT_EQ(set("fwmark=8\n" + key_line("private_key", 64) + key_line("public_key", 1)), 0);
    } catch (const std::bad_alloc&) {
      applied = false;
    }
    last = test::forget_failing_allocation() ? 0 : attempt;
    const DeviceStatus after = device();
    EXPECT_EQ(after.fwmark, applied ? 8U : 0U);
    EXPECT_EQ(crypto::ct_is_zero(after.private_key.view()), !applied);
    EXPECT_EQ(peers(), applied ? "1:0" : "");
    interface_->retry_sockets();
    EXPECT_FALSE(tun::UdpPair::open(device().listen_port, 0)) << "there they are";
  }
}

TEST_P(InterfaceTest, WantOfMemoryInARetryIsMendedByTheNext) {
  {
    const auto busy = tun::UdpPair::open(0, 0);
    ASSERT_TRUE(busy);
    ASSERT_EQ(set("listen_port=" + std::to_string(busy->port()) + "\n"), 0);
    interface_->set_link(Link::up);
  }
  std::size_t failed = 0;
  for (std::size_t attempt = 0; attempt < 100 && interface_->lacks_sockets(); ++attempt) {
    test::fail_allocation(attempt);
    EXPECT_NO_THROW(interface_->retry_sockets());
    failed += test::forget_failing_allocation() ? 1U : 0U;
  }
  EXPECT_GT(failed, 0U);
  EXPECT_FALSE(interface_->lacks_sockets());
}
#endif

TEST_P(InterfaceTest, WantOfPagesAtAnyStepAppliesNothing) {  // H73
  const std::string body = change_of_everything();
  expect_all_or_nothing([&](std::size_t attempt) {
    memory_.fail_steps(attempt);
    const int result = set(body);
    memory_.fail_steps(test::TestMemory::unlimited);
    EXPECT_TRUE(result == 0 || result == ENOMEM);
    return Attempt{.applied = result == 0, .is_last = result == 0};
  });
}

TEST_P(InterfaceTest, WantOfPagesAtAnyStepOfTheStartIsTold) {  // H73
  interface_.reset();
  shards_.reset();
  std::size_t steps = 0;
  for (;; ++steps) {
    SCOPED_TRACE(steps);
    ASSERT_LT(steps, 1000U);
    memory_.fail_steps(steps);
    const Status started = start();
    memory_.fail_steps(test::TestMemory::unlimited);
    if (started) {
      break;
    }
    EXPECT_EQ(started.error().errno_value, ENOMEM);
    EXPECT_EQ(memory_.reservations(), 0U);
  }
  EXPECT_GT(steps, 5U);
  EXPECT_EQ(set(key_line("public_key", 1)), 0);
}

// Also with one of which the request says nothing, and where it says that the other is.
TEST_P(InterfaceTest, AFirstKeyBeginsWithPeersWhereTheyAreNow) {
  ASSERT_EQ(std::system("ip link set lo up"), 0);
  const auto before = tun::UdpPair::open(0, 0);
  const auto now = tun::UdpPair::open(0, 0);
  const auto other = tun::UdpPair::open(0, 0);
  ASSERT_TRUE(before && now && other);
  const auto peer_at = [](const tun::UdpPair& pair, std::uint32_t number = 77) {
    return key_line("public_key", number) + "endpoint=127.0.0.1:" + std::to_string(pair.port()) +
           "\n";
  };
  interface_->set_link(Link::up);
  const std::string keepalive = "persistent_keepalive_interval=1\n";
  ASSERT_EQ(set(peer_at(*before) + keepalive + peer_at(*other, 78) + keepalive), 0);
  ASSERT_EQ(set(key_line("private_key", 64) + peer_at(*now)), 0);
  std::array<char, 256> message{};
  EXPECT_EQ(receive(now->v4(), 2000, message), 148);
  EXPECT_EQ(receive(other->v4(), 2000, message), 148);
  EXPECT_EQ(receive(before->v4(), 0, message), -1);
}

TEST_P(InterfaceTest, SectionsOfPeersThatAreThereNeedNoRoom) {
  EXPECT_EQ(set(key_line("public_key", 1)), 0);
  SetRequest request;
  for (std::uint32_t i = 0; i < (1U << 20); ++i) {
    crypto::PublicKey& key = request.peers.emplace_back().public_key;
    key[0] = 1;
    store_be32(&key[28], 1);
  }
  EXPECT_TRUE(interface_->apply(request)) << "the bound alone would refuse it";
  EXPECT_EQ(peers(), "1:0");
}

}  // namespace
}  // namespace wgring::daemon

// The server over real sockets in a directory of its own, in front of a fake device.
#include "daemon/uapi_server.hpp"

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <cerrno>
#include <deque>
#include <fstream>
#include <future>
#include <set>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/uapi_socket.hpp"
#include "tests/daemon/allocations.hpp"
#include "tests/daemon/temporary_directory.hpp"
#include "tun/fd.hpp"

namespace wgring::daemon {
namespace {

using namespace std::chrono_literals;

std::uint32_t no_interface(std::string_view /*name*/) noexcept { return 0; }

// Keeps what a set asked for, and shows `peer_total` peers.
class FakeTarget : public ConfigTarget {
 public:
  Status apply(const SetRequest& request) override {
    applied_count += 1;
    if (refusal != 0) {
      return fail(refusal, "as the test wants it");
    }
    fwmark = request.fwmark.value_or(fwmark);
    if (request.replace_peers) {  // by as many, which have the same keys
      first_serial += peer_total;
      removals += 1;
    }
    peer_total += request.peers.size();
    return {};
  }
  void read_device(DeviceStatus& status) override {
    status.fwmark = fwmark;
    status.peer_count = static_cast<std::uint32_t>(peer_total);
    status.removals = removals;
  }
  void read_peers(std::uint64_t after_serial, PeerPage& page) override {
    pages_read += 1;
    page.peer_count = 0;
    page.prefix_count = 0;
    page.removals = removals;
    std::uint64_t serial = std::max(after_serial, first_serial);
    while (serial < first_serial + peer_total && page.peer_count < PeerPage::peers_max) {
      serial += 1;
      noise::PeerStatus& status = page.peers[page.peer_count++];
      status.serial = serial;
      store_be64(status.public_key.data(), serial - first_serial);
    }
    page.last = serial == first_serial + peer_total;
  }

  int applied_count = 0;
  int refusal = 0;
  std::uint64_t pages_read = 0;
  std::uint32_t fwmark = 0;
  std::uint64_t peer_total = 0;
  std::uint64_t first_serial = 0;
  std::uint64_t removals = 0;
};

// Public keys of a dump, and how many of them are different.
std::pair<std::size_t, std::size_t> keys_in(std::string_view dump) {
  constexpr std::string_view name = "public_key=";
  std::size_t count = 0;
  std::set<std::string_view> different;
  for (std::size_t at = 0; (at = dump.find(name, at)) != std::string_view::npos; ++at) {
    count += 1;
    different.insert(dump.substr(at + name.size(), 64));
  }
  return {count, different.size()};
}

class Client {
 public:
  explicit Client(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  void send(std::string_view text) {
    // The other end may have closed already: then the reply tells.
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        return;
      }
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void end() { ::shutdown(fd_.get(), SHUT_WR); }
  // One reply with its blank line; what came before the end when the server closed.
  std::string receive() {
    std::size_t end = 0;
    std::size_t searched = 0;
    while ((end = kept_.find("\n\n", searched)) == std::string::npos) {
      searched = kept_.empty() ? 0 : kept_.size() - 1;
      char bytes[4096];
      const ssize_t got = ::recv(fd_.get(), bytes, sizeof bytes, 0);
      if (got <= 0) {
        return std::exchange(kept_, {}) + "<closed>";
      }
      kept_.append(bytes, static_cast<std::size_t>(got));
    }
    const std::string reply = kept_.substr(0, end + 2);
    kept_.erase(0, end + 2);
    return reply;
  }
  // Until the server has begun to answer.
  void await_reply() {
    char byte = 0;
    EXPECT_EQ(::recv(fd_.get(), &byte, 1, MSG_PEEK), 1);
  }
  std::string ask(std::string_view text) {
    send(text);
    return receive();
  }

 private:
  tun::Fd fd_;
  std::string kept_;
};

class UapiServerTest : public testing::Test {
 protected:
  UapiServerTest() : socket_(UapiSocket::listen(directory_.path(), "wg0")) {}
  ~UapiServerTest() override { stop(); }

  void start(const UapiLimits& limits = {}) {
    server_.emplace(io_, target_, no_interface, limits);
    server_->start(socket_.fd());
    thread_ = std::thread([this] { io_.run(); });
  }
  // After it the members of the server's thread may be read.
  void stop() {
    if (thread_.joinable()) {
      boost::asio::post(io_, [this] { server_->stop(); });
      thread_.join();
    }
  }
  Client client() { return Client(socket_.path()); }
  // On the server's thread, between two handlers.
  template <typename Work>
  void on_server(Work work) {
    std::promise<void> done;
    boost::asio::post(io_, [&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

  TemporaryDirectory directory_;
  UapiSocket socket_;
  FakeTarget target_;
  boost::asio::io_context io_;
  std::optional<UapiServer> server_;
  std::thread thread_;
};

TEST_F(UapiServerTest, SetThenGetOnOneConnection) {
  start();
  Client one = client();
  EXPECT_EQ(one.ask("set=1\nfwmark=7\n\n"), "errno=0\n\n");
  EXPECT_EQ(one.ask("get=1\n\n"), "fwmark=7\nerrno=0\n\n");
}

#ifndef WG_TEST_OPERATORS_TAKEN
TEST_F(UapiServerTest, WantOfMemoryAtAnyAllocationEndsThatConnectionAlone) {  // H73
  start();
  Client bystander = client();
  bystander.ask("set=1\nfwmark=1\n\n");
  for (const std::string_view ask : {"set=1\nfwmark=", "get=1\n"}) {
    bool failed = true;
    for (std::size_t attempt = 0; failed; ++attempt) {
      SCOPED_TRACE(attempt);
      ASSERT_LT(attempt, 100U);
      const std::string before = bystander.ask("get=1\n\n");
      const std::string number = std::to_string(attempt + 100);
      const bool sets = ask.starts_with("set");
      on_server([&] { test::fail_allocation(attempt); });
      Client one = client();
      const std::string reply = one.ask(std::string(ask) + (sets ? number + "\n" : "") + "\n");
      on_server([&] { failed = test::forget_failing_allocation(); });
      const std::string after = bystander.ask("get=1\n\n");
      if (reply == "<closed>") {
        EXPECT_TRUE(failed);
        EXPECT_EQ(after, before) << "a set that was applied is answered";
      } else {
        EXPECT_EQ(reply, sets ? "errno=0\n\n" : before);
        EXPECT_EQ(after, sets ? "fwmark=" + number + "\nerrno=0\n\n" : before);
      }
    }
  }
}
#endif

TEST_F(UapiServerTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  Client one = client();
  std::string text;
  for (int i = 1; i <= 500; ++i) {
    text += "set=1\nfwmark=" + std::to_string(i) + "\n\nget=1\n\n";
  }
  std::thread writer([&] { one.send(text); });
  for (int i = 1; i <= 500; ++i) {
    EXPECT_EQ(one.receive(), "errno=0\n\n");
    EXPECT_EQ(one.receive(), "fwmark=" + std::to_string(i) + "\nerrno=0\n\n");
  }
  writer.join();
}

TEST_F(UapiServerTest, RequestInSingleBytes) {
  start();
  Client one = client();
  for (const char byte : std::string("set=1\nfwmark=77\n\n")) {
    one.send({&byte, 1});
  }
  EXPECT_EQ(one.receive(), "errno=0\n\n");
}

TEST_F(UapiServerTest, ErrorsHaveTheSignOfTheirVerbAndTheConnectionGoesOn) {
  start();
  Client one = client();
  EXPECT_EQ(one.ask("set=1\nnonsense=1\nfwmark=3\n\n"), "errno=-22\n\n");
  EXPECT_EQ(one.ask("set=1\nnonsense\n\n"), "errno=-71\n\n");
  EXPECT_EQ(one.ask("get=1\nnonsense=1\n\n"), "errno=22\n\n");
  EXPECT_EQ(one.ask("nonsense=1\n\n"), "errno=-22\n\n");
  EXPECT_EQ(one.ask("get=1\n\n"), "errno=0\n\n");
  stop();
  EXPECT_EQ(target_.applied_count, 0);
}

TEST_F(UapiServerTest, WhatTheTargetRefusesIsNegative) {
  target_.refusal = EADDRINUSE;
  start();
  EXPECT_EQ(client().ask("set=1\nlisten_port=1\n\n"), "errno=-98\n\n");
}

TEST_F(UapiServerTest, HalfARequestIsNotApplied) {
  start();
  Client cut = client();
  cut.send("set=1\nfwmark=8\n");
  cut.end();
  EXPECT_EQ(cut.receive(), "errno=-71\n\n");
  {
    client().send("set=1\nfwmark=9\nfwm");
  }
  EXPECT_EQ(client().ask("get=1\n\n"), "errno=0\n\n");
  stop();
  EXPECT_EQ(target_.applied_count, 0);
}

TEST_F(UapiServerTest, AnswersAClientThatHasNothingMoreToSay) {
  start();
  Client one = client();
  one.send("set=1\nfwmark=5\n\nget=1\n\n");
  one.end();
  EXPECT_EQ(one.receive(), "errno=0\n\n");
  EXPECT_EQ(one.receive(), "fwmark=5\nerrno=0\n\n");
  EXPECT_EQ(one.receive(), "<closed>");
}

TEST_F(UapiServerTest, EndlessLineIsAnsweredAndClosed) {
  start();
  Client one = client();
  one.send("set=1\n" + std::string(1 << 20, 'x'));
  EXPECT_EQ(one.receive(), "errno=-71\n\n");
  EXPECT_EQ(one.receive(), "<closed>");
  EXPECT_EQ(client().ask("get=1\n\n"), "errno=0\n\n");
}

TEST_F(UapiServerTest, EmptyAndHalfConnectionsAreHarmless) {
  start();
  std::deque<Client> half;
  for (int i = 0; i < 300; ++i) {
    client();
    half.emplace_back(socket_.path()).send(i % 2 == 0 ? "set=1\nfwm" : "");
  }
  EXPECT_EQ(client().ask("get=1\n\n"), "errno=0\n\n");
  half[0].send("ark=5\n\n");
  EXPECT_EQ(half[0].receive(), "errno=0\n\n");
}

TEST_F(UapiServerTest, ManyClientsAtOnce) {
  target_.peer_total = 1000;
  start();
  std::deque<std::thread> threads;
  std::atomic<int> complete{0};
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([this, &complete] {
      for (int round = 0; round < 5; ++round) {
        complete += client().ask("get=1\n\n").ends_with("errno=0\n\n") ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(complete, 16 * 5);
}

TEST_F(UapiServerTest, DumpIsCompleteAndInOrder) {
  target_.peer_total = 1000;
  start();
  const std::string dump = client().ask("get=1\n\n");
  std::size_t at = 0;
  for (std::uint64_t serial = 1; serial <= 1000; ++serial) {
    char key[17];
    std::snprintf(key, sizeof key, "%016llx", static_cast<unsigned long long>(serial));
    const std::size_t found = dump.find("public_key=" + std::string(key), at);
    ASSERT_NE(found, std::string::npos) << serial;
    at = found;
  }
  EXPECT_EQ(dump.find("public_key=", at + 1), std::string::npos);
}

// What the kernel holds for a reader that does not read, in multiples of what it holds by default.
std::uint64_t unread_factor() {
  std::uint64_t bytes = 0;
  std::ifstream{"/proc/sys/net/core/wmem_default"} >> bytes;
  return 1 + bytes / 220'000;
}

TEST_F(UapiServerTest, SlowReaderHoldsNobodyUpAndCostsNoPages) {
  target_.peer_total = 100'000 * unread_factor();
  start();
  Client lazy = client();
  lazy.send("get=1\n\n");
  EXPECT_EQ(client().ask("set=1\nfwmark=1\n\n"), "errno=0\n\n");
  EXPECT_EQ(client().ask("set=1\nfwmark=2\n\n"), "errno=0\n\n");
  stop();
  EXPECT_LT(target_.pages_read, 100 * unread_factor())
      << "pages are read as fast as the client takes them";
  EXPECT_GT(target_.pages_read, 0);
}

// fault: CVE-2024-26950
TEST_F(UapiServerTest, DumpCrossedByAReplaceShowsTheMomentOfTheGet) {
  target_.peer_total = 10'000;
  start();
  Client slow = client();
  slow.send("get=1\n\n");
  slow.await_reply();
  EXPECT_EQ(client().ask("set=1\nreplace_peers=true\nfwmark=5\n\n"), "errno=0\n\n");
  const std::string dump = slow.receive();
  EXPECT_EQ(keys_in(dump), (std::pair<std::size_t, std::size_t>{10'000, 10'000}));
  EXPECT_TRUE(dump.ends_with("\nerrno=0\n\n"));
  EXPECT_EQ(slow.ask("get=1\n\n").substr(0, 9), "fwmark=5\n") << "the connection goes on";
}

TEST_F(UapiServerTest, LargeDumpCrossedByAReplaceSaysSo) {
  target_.peer_total = 40'000 * unread_factor();
  start();
  Client slow = client();
  slow.send("get=1\n\n");
  slow.await_reply();
  EXPECT_EQ(client().ask("set=1\nreplace_peers=true\n\n"), "errno=0\n\n");
  const std::string dump = slow.receive();
  const auto [count, different] = keys_in(dump);
  EXPECT_EQ(count, different) << "no peer twice";
  EXPECT_TRUE(dump.ends_with("\nerrno=11\n\n")) << dump.substr(dump.size() - 40);
  EXPECT_EQ(keys_in(slow.ask("get=1\n\n")).second, target_.peer_total)
      << "asked again, it is whole";
}

TEST_F(UapiServerTest, LargeDumpCrossedByAnAdditionIsWhole) {
  target_.peer_total = 40'000;
  start();
  Client slow = client();
  slow.send("get=1\n\n");
  slow.await_reply();
  EXPECT_EQ(client().ask("set=1\npublic_key=" + std::string(64, 'a') + "\n\n"), "errno=0\n\n");
  const std::string dump = slow.receive();
  EXPECT_EQ(keys_in(dump), (std::pair<std::size_t, std::size_t>{40'001, 40'001}));
  EXPECT_TRUE(dump.ends_with("\nerrno=0\n\n"));
}

// A third dump is read page by page, until the first ones are done or given up.
TEST_F(UapiServerTest, DumpsThatWaitTakeABoundedSpaceAndGiveItBack) {
  target_.peer_total = 10'000;
  start({.whole_text_bytes_max = std::size_t{8} << 20});
  for (int round = 0; round < 3; ++round) {
    std::deque<Client> lazy;
    for (int i = 0; i < 3; ++i) {
      lazy.emplace_back(socket_.path()).send("get=1\n\n");
      lazy.back().await_reply();
    }
    EXPECT_EQ(client().ask("set=1\nreplace_peers=true\n\n"), "errno=0\n\n");
    EXPECT_TRUE(lazy[0].receive().ends_with("\nerrno=0\n\n")) << round;
    EXPECT_TRUE(lazy[2].receive().ends_with("\nerrno=11\n\n")) << round;
    // These two are given up unread.
    lazy.pop_front();
    lazy.emplace_back(socket_.path()).send("get=1\n\n");
    lazy.back().await_reply();
  }
}

TEST_F(UapiServerTest, LongestIdleConnectionMakesRoom) {
  start({.sessions_max = 8});
  std::deque<Client> clients;
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(clients.emplace_back(socket_.path()).ask("get=1\n\n"), "errno=0\n\n");
  }
  EXPECT_EQ(clients[0].ask("get=1\n\n"), "errno=0\n\n") << "now the second is the longest idle";
  EXPECT_EQ(client().ask("get=1\n\n"), "errno=0\n\n");
  EXPECT_EQ(clients[1].receive(), "<closed>");
  EXPECT_EQ(clients[0].ask("get=1\n\n"), "errno=0\n\n");
}

TEST_F(UapiServerTest, IdleConnectionsGoBeforeOnesInARequest) {
  start({.sessions_max = 4});
  Client busy = client();
  busy.send("set=1\nfwm");
  std::deque<Client> idle;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(idle.emplace_back(socket_.path()).ask("get=1\n\n"), "errno=0\n\n");
  }
  EXPECT_EQ(client().ask("get=1\n\n"), "errno=0\n\n");
  busy.send("ark=5\n\n");
  EXPECT_EQ(busy.receive(), "errno=0\n\n");
}

TEST_F(UapiServerTest, HalfARequestTimesOut) {
  start({.progress_timeout = 100ms});
  Client half = client();
  half.send("set=1\nfwm");
  EXPECT_EQ(half.receive(), "<closed>");
  stop();
  EXPECT_EQ(server_->session_count(), 0U);
}

TEST_F(UapiServerTest, ReaderThatStopsTimesOut) {
  target_.peer_total = 100'000;
  start({.progress_timeout = 100ms});
  Client lazy = client();
  lazy.send("get=1\n\n");
  lazy.await_reply();
  std::size_t sessions = 1;
  for (int i = 0; i < 500 && sessions > 0; ++i) {
    std::this_thread::sleep_for(20ms);
    on_server([&] { sessions = server_->session_count(); });
  }
  EXPECT_EQ(sessions, 0U);
  EXPECT_TRUE(lazy.receive().ends_with("<closed>"));
}

TEST_F(UapiServerTest, IdleConnectionTimesOutByItsOwnLimit) {
  start({.progress_timeout = 10s, .idle_timeout = 100ms});
  EXPECT_EQ(client().receive(), "<closed>");
}

}  // namespace
}  // namespace wgring::daemon

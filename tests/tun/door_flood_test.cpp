// Floods at the door: its lines, and which of its two threads reads them.
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <sched.h>

#include "door_fixture.hpp"
#include "one_processor.hpp"

namespace wgring::tun::test {
namespace {

class DoorFloodTest : public DoorTest {
 protected:
  // Beside data.
  void begin_flood();
};

// The others: those with a mac2.
TEST_F(DoorFloodTest, LinesThatAreAlwaysFullDoNotStarveOthers) {
  const std::uint16_t port = group->port();
  std::vector<std::unique_ptr<Peer>> crowd;
  for (int i = 0; i < 100; ++i) {
    crowd.push_back(std::make_unique<Peer>(any_address().c_str()));
  }
  const std::string message = initiation(1);
  const std::jthread flooding([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      for (const auto& one : crowd) {
        one->send("127.0.0.1", port, message);
      }
    }
  });
  ASSERT_TRUE(wait_for([&] { return stats().drops[noise::Drop::cookie_sent] > 0; })) << "load";
  const Peer peer("127.0.0.1");
  std::string with_mac2 = message;
  with_mac2.back() = '\1';
  EXPECT_TRUE(wait_for([&] {
    peer.send("127.0.0.1", port, with_mac2);
    return !peer.receive(100).empty();
  }));
}

// Of 64 strangers some stand in the line of the one that floods; the others do not notice.
TEST_F(DoorFloodTest, AFloodFromOneAddressKeepsFewOthersOut) {
  door->set_sockets(nullptr);
  const Peer flooder("127.0.0.1");
  std::string message = initiation(0);
  message[noise::InitiationLayout::mac1] =
      static_cast<char>(message[noise::InitiationLayout::mac1] ^ 1);
  for (std::uint32_t i = 0; i < 5000; ++i) {
    flooder.send("127.0.0.1", group->port(), message);
  }
  constexpr std::uint32_t strangers = 64;
  for (std::uint32_t i = 0; i < strangers; ++i) {
    const Peer peer(any_address().c_str());
    peer.send("127.0.0.1", group->port(), initiation(i));
  }
  door->set_sockets(group.get());
  EXPECT_GE(taken(strangers * 3 / 4).size(), strangers * 3 / 4);
}

TEST_F(DoorFloodTest, AFloodIsReadAndEnds) { flood(); }

TEST_F(DoorFloodTest, BesideDataAFloodIsReadAndEndsToo) {
  inlet.set_data_until(read_clock().boottime + 60s);
  flood();
}

// The thread of that name, of this process.
std::filesystem::path task_of(const std::string& name) {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string found;
    std::ifstream{task.path() / "comm"} >> found;
    if (found == name) {
      return task.path();
    }
  }
  return {};
}

int policy_of(const std::string& name) {
  std::ifstream file{task_of(name) / "stat"};
  const std::string text{std::istreambuf_iterator<char>{file}, {}};
  std::istringstream fields{text.substr(text.rfind(')') + 2)};
  const std::vector<std::string> words{std::istream_iterator<std::string>{fields}, {}};
  return std::stoi(words.at(41 - 3));
}

// How often it went to sleep.
int sleeps_of(const std::string& name) {
  std::ifstream file{task_of(name) / "status"};
  for (std::string word; file >> word;) {
    if (word == "voluntary_ctxt_switches:") {
      file >> word;
      return std::stoi(word);
    }
  }
  return -1;
}

// Of the door's two threads, for a while.
bool neither_wakes() {
  const int first = sleeps_of("wgring-door");
  const int second = sleeps_of("wgring-flood");
  ::usleep(200'000);
  return first >= 0 && sleeps_of("wgring-door") == first && sleeps_of("wgring-flood") == second;
}

TEST_F(DoorFloodTest, AFloodStandsBehindTheDataPath) {
  // A test that is run under another policy sees that one.
  const int own = ::sched_getscheduler(0);
  EXPECT_EQ(policy_of("wgring-flood"), own == SCHED_OTHER ? SCHED_IDLE : own);
  EXPECT_EQ(policy_of("wgring-door"), own);
}

// What takes nearly all that the processor has which the thread of that name is bound to as well.
class Busy {
 public:
  explicit Busy(const std::string& name) {
    const cpu_set_t first = this_processor();
    const int thread = std::stoi(task_of(name).filename());
    EXPECT_EQ(::sched_setaffinity(thread, sizeof first, &first), 0);
    spins_ = std::jthread([first](const std::stop_token& stop) {
      EXPECT_EQ(::sched_setaffinity(0, sizeof first, &first), 0);
      // It comes back while the other runs, and then has the processor for long.
      while (!stop.stop_requested()) {
        ::usleep(1000);
        for (const Instant end = read_clock().boottime + 50ms; read_clock().boottime < end;) {
        }
      }
    });
  }

 private:
  std::jthread spins_;
};

TEST_F(DoorFloodTest, WhoStandsStillWithTheDoorIsLifted) {
  const int own = ::sched_getscheduler(0);
  const Busy busy{"wgring-flood"};
  const Peer peer("127.0.0.1");
  for (Inlet& each : inlets) {
    each.set_data_until(Instant::max());
  }
  const auto until_policy = [&](int policy) {
    return wait_for([&] {
      flood_from(peer);
      return policy_of("wgring-flood") == policy;
    });
  };
  EXPECT_TRUE(until_policy(own));
  EXPECT_TRUE(until_policy(own == SCHED_OTHER ? SCHED_IDLE : own)) << "and goes back";
}

TEST_F(DoorFloodTest, CallsAreServedWhileAFloodIsReadBesideData) {
  inlet.set_data_until(Instant::max());
  const std::jthread flooding([&](const std::stop_token& stop) {
    const Peer peer("127.0.0.1");
    while (!stop.stop_requested()) {
      flood_from(peer);
    }
  });
  EXPECT_TRUE(wait_for([&] { return stats().engine.strangers_received > 20'000; }));
}

// Until the second thread reads it.
void DoorFloodTest::begin_flood() {
  inlet.set_data_until(Instant::max());
  const Peer peer("127.0.0.1");
  ASSERT_TRUE(wait_for([] { return neither_wakes(); }));  // it sleeps for the first time
  const int before = sleeps_of("wgring-flood");
  ASSERT_TRUE(wait_for([&] {
    flood_from(peer);
    return sleeps_of("wgring-flood") > before;
  }));
}

TEST_F(DoorFloodTest, AFloodBesideDataEndsAndNobodyWakes) {
  begin_flood();
  EXPECT_TRUE(wait_for([] { return neither_wakes(); }));
}

TEST_F(DoorFloodTest, AFloodEndsWithItsSockets) {
  begin_flood();
  door->set_sockets(nullptr);
  EXPECT_TRUE(wait_for([] { return neither_wakes(); }));
}

}  // namespace
}  // namespace wgring::tun::test

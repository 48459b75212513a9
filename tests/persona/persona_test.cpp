// Each persona does what it says, an unfiltered process shows none of it, and a program under one
// starts, goes to the background and ends as it would without.
#include <array>
#include <chrono>
#include <map>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace wgring::persona {
namespace {

using Words = std::vector<std::string>;
using Results = std::map<std::string, std::string>;

struct Outcome {
  pid_t pid = -1;
  int status = 0;
  std::string out;
};

// Reads to the end: whoever keeps the output open keeps the test.
Outcome run(const Words& words) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  Outcome outcome;
  outcome.pid = ::fork();
  if (outcome.pid == 0) {
    std::vector<char*> argv;
    for (const std::string& word : words) {
      argv.push_back(const_cast<char*>(word.c_str()));
    }
    argv.push_back(nullptr);
    ::dup2(ends[1], STDOUT_FILENO);
    ::execvp(argv.front(), argv.data());
    ::_exit(99);
  }
  ::close(ends[1]);
  std::array<char, 4096> piece{};
  for (ssize_t bytes = 0; (bytes = ::read(ends[0], piece.data(), piece.size())) > 0;) {
    outcome.out.append(piece.data(), static_cast<std::size_t>(bytes));
  }
  ::close(ends[0]);
  EXPECT_EQ(::waitpid(outcome.pid, &outcome.status, 0), outcome.pid);
  return outcome;
}

Outcome run_under(const std::string& persona, const Words& words) {
  Words all{WGRING_PERSONA, persona, "--"};
  all.insert(all.end(), words.begin(), words.end());
  return run(all);
}

Results parse(const std::string& text) {
  Results results;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    const std::size_t space = line.find(' ');
    results[line.substr(0, space)] = space == std::string::npos ? "" : line.substr(space + 1);
    at = end == std::string::npos ? text.size() : end + 1;
  }
  return results;
}

// What the probe finds on a kernel of today that refuses nothing. EBADF, EBADFD and EIO say
// that the call came as far as the kernel, or the TUN driver; see probe.cpp.
const Results& today() {
  static const Results results = parse(
      "uring_setup ok\nuring_probe ok\nuring_eventfd ok\nuring_pbuf_ring ok\nuring_enter ok\n"
      "uring_enter_ext ok\n"
      "set_udp_segment ok\nget_udp_segment ok\nset_udp_gro ok\nget_udp_gro ok\n"
      "set_udp_no_check6 ok\nget_udp_no_check6 ok\nset_rxq_ovfl ok\nget_rxq_ovfl ok\n"
      "set_zerocopy ok\nget_zerocopy ok\nset_bindtoifindex ok\nget_bindtoifindex ok\n"
      "set_prefer_busy ok\nget_prefer_busy ok\n"
      "offload_none EBADF\noffload_tso EBADF\noffload_uso4 EBADF\noffload_uso6 EBADF\n"
      "offload_uso EBADF\ntun_carrier EBADF\ntun_devnetns EBADF\ntun_steering EBADF\n"
      "tun_getiff EBADF\n"
      "rseq there\npidfd_open there\nclone3 there\nclose_range there\nopenat2 there\n"
      "faccessat2 there\nepoll_pwait2 there\nfutex_waitv there\nlandlock there\nbpf E2BIG\nstatx "
      "there\n"
      "recvmmsg there\nwrite_empty ok\n"
      "tun_open ok\ntun_writev_plain EBADFD\ntun_writev_ecn EBADFD\ntun_writev_gso EBADFD\n"
      "tun_writev_cut EBADFD\ntun_write_header EBADFD\ntun_write_plain EBADFD\n"
      "tun_write_whole EBADFD\ntun_writev_late EBADFD\nnull_writev_gso ok\n"
      "send_plain ok\nsend_train ok\nsend_train_away passed\nreceived plain aaaa bbbb cc\n"
      "several 4 5 5 10 5\nseveral_received plain plain aaaa bbbb cc plain\n"
      "several_train_first ok\nsend_train_v6 ok\nsend_train_mapped ok\n"
      "vnet_down_gso EIO\nvnet_down_plain EIO\ntun_down_tos EIO\ntun_down_flow EIO\n");
  return results;
}

// What differs from today.
Results differences(const Results& found) {
  Results different;
  for (const auto& [name, result] : found) {
    if (!today().contains(name) || today().at(name) != result) {
      different[name] = result;
    }
  }
  return different;
}

Results joined(std::initializer_list<Results> parts) {
  Results all;
  for (const Results& part : parts) {
    all.insert(part.begin(), part.end());
  }
  return all;
}

Results each(const Words& names, const std::string& result) {
  Results results;
  for (const std::string& name : names) {
    results[name] = result;
  }
  return results;
}

const Words every_uring_call{"uring_setup",     "uring_probe", "uring_eventfd",
                             "uring_pbuf_ring", "uring_enter", "uring_enter_ext"};
const Words calls_since_5_5{"close_range",  "openat2",     "faccessat2",
                            "epoll_pwait2", "futex_waitv", "landlock"};
const Words every_uso{"offload_uso4", "offload_uso6", "offload_uso"};

Results of_4_19() {
  return joined({each(every_uring_call, "ENOSYS"), each(calls_since_5_5, "ENOSYS"),
                 each(every_uso, "EINVAL"), each({"pidfd_open", "clone3"}, "ENOSYS"),
                 each({"set_udp_gro", "get_udp_gro", "set_bindtoifindex", "get_bindtoifindex",
                       "set_prefer_busy", "get_prefer_busy"},
                      "ENOPROTOOPT"),
                 each({"tun_carrier", "tun_devnetns"}, "EINVAL"),
                 each({"set_zerocopy"}, "without_a_name")});
}

Results of_4_14() {
  return joined({of_4_19(), each({"set_udp_segment", "get_udp_segment"}, "ENOPROTOOPT"),
                 each({"rseq"}, "ENOSYS"), each({"tun_steering"}, "EINVAL")});
}

struct Expected {
  std::string persona;
  Results different;

  friend void PrintTo(const Expected& one, std::ostream* out) { *out << one.persona; }
};

std::vector<Expected> expected() {
  const Results no_uring = each(every_uring_call, "ENOSYS");
  const Results cut_short{{"several", "2 5 5 0 0"}, {"several_received", "plain plain"}};
  return {
      {"4.14", of_4_14()},
      {"4.14-sends", joined({of_4_14(),
                             {{"received", "plain aaaabbbbcc"},
                              {"several_received", "plain plain aaaabbbbcc plain"}}})},
      {"4.19", of_4_19()},
      {"5.4", joined({each({"uring_probe", "uring_pbuf_ring", "uring_enter_ext"}, "EINVAL"),
                      each(calls_since_5_5, "ENOSYS"), each(every_uso, "EINVAL"),
                      each({"set_prefer_busy", "get_prefer_busy"}, "ENOPROTOOPT")})},
      {"no-pbuf-ring", each({"uring_pbuf_ring"}, "EINVAL")},
      {"container", joined({each(every_uring_call, "EPERM"), each({"bpf"}, "EPERM")})},
      {"vnet-einval", joined({no_uring, each({"tun_writev_gso", "tun_writev_cut", "tun_write_whole",
                                              "tun_writev_late", "vnet_down_gso"},
                                             "EINVAL")})},
      {"vnet-einval-late",
       joined({no_uring, each({"tun_writev_late", "vnet_down_gso"}, "EINVAL")})},
      {"gso-eio", joined({no_uring,
                          each({"send_train", "send_train_v6", "send_train_mapped",
                                "send_train_away", "several_train_first"},
                               "EIO"),
                          cut_short,
                          {{"received", "plain"}}})},
      {"gso-eio-wire", joined({no_uring, each({"send_train_away"}, "EIO")})},
  };
}

std::string name_for_test(std::string name) {
  for (char& letter : name) {
    letter = letter == '.' || letter == '-' ? '_' : letter;
  }
  return name;
}

class PersonaTest : public ::testing::TestWithParam<Expected> {
 protected:
  // Orphans become children of this process, so that the end of the supervisor can be seen.
  void SetUp() override { ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0); }
  void TearDown() override { EXPECT_TRUE(all_end()) << "a supervisor outlived what it watched"; }

  static bool all_end() {
    for (int i = 0; i < 1000; ++i) {
      const pid_t ended = ::waitpid(-1, nullptr, WNOHANG);
      if (ended < 0) {
        return true;
      }
      if (ended == 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    }
    return false;
  }

  [[nodiscard]] static const std::string& persona() { return GetParam().persona; }
};

TEST(Today, RefusesNothing) {
  const Outcome outcome = run({WGRING_PERSONA_PROBE});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(parse(outcome.out), ::testing::ContainerEq(today()))
      << "these tests want an unrestricted kernel of 6.2 or newer, and /dev/net/tun that may be "
         "opened";
}

TEST_P(PersonaTest, DiffersFromTodayInWhatItSays) {
  const Outcome outcome = run_under(persona(), {WGRING_PERSONA_PROBE});
  EXPECT_EQ(outcome.status, 0);
  const Results found = parse(outcome.out);
  EXPECT_EQ(found.size(), today().size());
  EXPECT_THAT(differences(found), ::testing::ContainerEq(GetParam().different));
}

TEST_P(PersonaTest, HoldsInTheBackgroundAfterTheParentHasEnded) {
  const Outcome outcome = run_under(persona(), {WGRING_PERSONA_PROBE, "background"});
  ASSERT_TRUE(WIFEXITED(outcome.status));
  EXPECT_EQ(WEXITSTATUS(outcome.status), 7);
  EXPECT_THAT(differences(parse(outcome.out)), ::testing::ContainerEq(GetParam().different));
}

TEST_P(PersonaTest, CommandTakesThePlaceOfTheProcess) {
  const Outcome outcome =
      run_under(persona(), {"sh", "-c", "echo $$ \"$@\"", "sh", "a b", "", "-f"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, std::to_string(outcome.pid) + " a b  -f\n");
}

TEST_P(PersonaTest, ExitCodeAndSignalPass) {
  const int exited = run_under(persona(), {"sh", "-c", "exit 3"}).status;
  EXPECT_TRUE(WIFEXITED(exited) && WEXITSTATUS(exited) == 3) << exited;
  const int killed = run_under(persona(), {"sh", "-c", "kill -TERM $$"}).status;
  EXPECT_TRUE(WIFSIGNALED(killed) && WTERMSIG(killed) == SIGTERM) << killed;
}

TEST_P(PersonaTest, CommandHasNoDescriptorsOfOurs) {
  const auto list = [](const Outcome& outcome) {
    EXPECT_EQ(outcome.status, 0);
    return outcome.out;
  };
  const Words show{"sh", "-c", "cd /proc/self/fd && echo *"};
  EXPECT_EQ(list(run_under(persona(), show)), list(run(show)));
}

TEST_P(PersonaTest, ClosedStandardStreamsStayClosedForTheCommand) {
  const std::string command =
      "exec " WGRING_PERSONA " " + persona() +
      " -- sh -c 'cd /proc/self/fd && test ! -e 0 -a ! -e 2 && echo fine' <&- 2>&-";
  const Outcome outcome = run({"sh", "-c", command});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, "fine\n");
}

INSTANTIATE_TEST_SUITE_P(Personas, PersonaTest, ::testing::ValuesIn(expected()),
                         [](const auto& one) { return name_for_test(one.param.persona); });

int exit_code(const Words& words) {
  const int status = run(words).status;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(PersonaCommand, RefusesWhatItDoesNotUnderstand) {
  EXPECT_EQ(exit_code({WGRING_PERSONA}), 125);
  EXPECT_EQ(exit_code({WGRING_PERSONA, "2.6", "--", "true"}), 125);
  EXPECT_EQ(exit_code({WGRING_PERSONA, "4.14"}), 125);
  EXPECT_EQ(exit_code({WGRING_PERSONA, "4.14", "--"}), 125);
  EXPECT_EQ(exit_code({WGRING_PERSONA, "4.14", "true", "true"}), 125);
}

TEST(PersonaCommand, SaysWhyACommandDoesNotStart) {
  EXPECT_EQ(exit_code({WGRING_PERSONA, "4.14", "--", "/nonexistent/command"}), 127);
  EXPECT_EQ(exit_code({WGRING_PERSONA, "4.14", "--", "/"}), 126);
}

TEST(PersonaCommand, HelpNamesEachPersona) {
  const std::string help = run({WGRING_PERSONA, "--help"}).out;
  for (const Expected& one : expected()) {
    EXPECT_THAT(help, ::testing::HasSubstr("\n  " + one.persona + " "));
  }
}

}  // namespace
}  // namespace wgring::persona

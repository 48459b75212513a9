#include "daemon/options.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "daemon/interface_name.hpp"

namespace wgring::daemon {
namespace {

std::variant<Options, EarlyExit> parsed(std::vector<const char*> words,
                                        const Environment& environment = {}) {
  words.insert(words.begin(), "wgring");
  return parse_options(static_cast<int>(words.size()), words.data(), environment);
}

Options accepted(const std::vector<const char*>& words, const Environment& environment = {}) {
  const auto result = parsed(words, environment);
  const auto* const options = std::get_if<Options>(&result);
  EXPECT_NE(options, nullptr) << std::get<EarlyExit>(result).text;
  return options != nullptr ? *options : Options{};
}

EarlyExit refused(const std::vector<const char*>& words, const Environment& environment = {}) {
  const auto result = parsed(words, environment);
  const auto* const exit = std::get_if<EarlyExit>(&result);
  EXPECT_NE(exit, nullptr);
  return exit != nullptr ? *exit : EarlyExit{};
}

TEST(Options, NameAloneGivesTheDefaults) {
  const Options options = accepted({"wg0"});
  EXPECT_EQ(options.interface_name, "wg0");
  EXPECT_FALSE(options.foreground);
  EXPECT_EQ(options.engine, tun::EngineKind::automatic);
  EXPECT_EQ(options.aead, "auto");
  EXPECT_FALSE(options.lanes);
  EXPECT_EQ(options.log_level, LogLevel::info);
  EXPECT_FALSE(options.tun_fd);
  EXPECT_FALSE(options.uapi_fd);
}

TEST(Options, EachOptionIsTaken) {
  const Options options = accepted(
      {"--engine=uring", "--aead", "sodium", "--log-level", "verbose", "-f", "fifteen_letters"});
  EXPECT_TRUE(options.foreground);
  EXPECT_EQ(options.engine, tun::EngineKind::uring);
  EXPECT_EQ(options.aead, "sodium");
  EXPECT_EQ(options.log_level, LogLevel::debug);
  EXPECT_EQ(options.interface_name, "fifteen_letters");
  EXPECT_EQ(accepted({"--engine=epoll", "wg0"}).engine, tun::EngineKind::epoll);
  EXPECT_EQ(accepted({"--engine=uring-basic", "wg0"}).engine, tun::EngineKind::uring_basic);
  EXPECT_TRUE(accepted({"--foreground", "wg0"}).foreground);
}

TEST(Options, SandboxAndUserAreTaken) {
  EXPECT_EQ(accepted({"wg0"}).sandbox, SandboxMode::automatic);
  EXPECT_EQ(accepted({"--sandbox=kill", "wg0"}).sandbox, SandboxMode::kill);
  EXPECT_EQ(accepted({"--sandbox=off", "wg0"}).sandbox, SandboxMode::off);
  EXPECT_EQ(accepted({"wg0"}, {.sandbox = "off"}).sandbox, SandboxMode::off);
  EXPECT_EQ(accepted({"--sandbox=kill", "wg0"}, {.sandbox = "off"}).sandbox, SandboxMode::kill);
  EXPECT_NE(refused({"wg0"}, {.sandbox = "on"}).text.find("WGRING_SANDBOX: no sandbox 'on'"),
            std::string::npos);
  EXPECT_EQ(accepted({"wg0"}).user, "");
  EXPECT_EQ(accepted({"--user=nobody", "wg0"}, {.user = "root"}).user, "nobody");
  EXPECT_EQ(accepted({"wg0"}, {.user = "nobody"}).user, "nobody");
}

TEST(Options, ShardsAreAPowerOfTwo) {
  EXPECT_EQ(accepted({"wg0"}).shard_bits, 0U);
  EXPECT_EQ(accepted({"--shards=auto", "wg0"}).shard_bits, 0U);
  EXPECT_EQ(accepted({"--shards=1", "wg0"}).shard_bits, 0U);
  EXPECT_EQ(accepted({"--shards", "2", "wg0"}).shard_bits, 1U);
  EXPECT_EQ(accepted({"--shards=16", "wg0"}).shard_bits, 4U);
}

TEST(Options, LanesAreAutomaticOrANumber) {
  EXPECT_FALSE(accepted({"--lanes=auto", "wg0"}).lanes);
  EXPECT_EQ(accepted({"--lanes=0", "wg0"}).lanes, 0U);
  EXPECT_EQ(accepted({"--lanes", "3", "wg0"}).lanes, 3U);
  EXPECT_EQ(accepted({"--lanes=15", "wg0"}).lanes, 15U);
  for (const char* const word : {"--lanes=16", "--lanes=-1", "--lanes=1x", "--lanes=two"}) {
    EXPECT_NE(refused({word, "wg0"}).text.find("--lanes"), std::string::npos) << word;
  }
}

TEST(Options, EnvironmentIsTakenAndOptionsWin) {
  const Environment environment{
      .tun_fd = "3", .uapi_fd = "4", .foreground = "1", .log_level = "error"};
  const Options options = accepted({"wg0"}, environment);
  EXPECT_TRUE(options.foreground);
  EXPECT_EQ(options.tun_fd, 3);
  EXPECT_EQ(options.uapi_fd, 4);
  EXPECT_EQ(options.log_level, LogLevel::error);
  EXPECT_EQ(accepted({"--log-level=silent", "wg0"}, environment).log_level, LogLevel::silent);
  EXPECT_FALSE(accepted({"wg0"}, {.foreground = "0"}).foreground);
}

// wg-quick passes no options on.
TEST(Options, EnginesAndThreadsCanBeChosenByVariable) {
  const Environment environment{.engine = "epoll", .aead = "sodium", .shards = "4", .lanes = "2"};
  const Options options = accepted({"wg0"}, environment);
  EXPECT_EQ(options.engine, tun::EngineKind::epoll);
  EXPECT_EQ(options.aead, "sodium");
  EXPECT_EQ(options.shard_bits, 2U);
  EXPECT_EQ(options.lanes, 2U);
  const Options winning = accepted(
      {"--engine=uring", "--aead=boringssl", "--shards=1", "--lanes=auto", "wg0"}, environment);
  EXPECT_EQ(winning.engine, tun::EngineKind::uring);
  EXPECT_EQ(winning.aead, "boringssl");
  EXPECT_EQ(winning.shard_bits, 0U);
  EXPECT_FALSE(winning.lanes);
  const Options unset = accepted({"wg0"}, {.engine = "", .aead = "", .shards = "", .lanes = ""});
  EXPECT_EQ(unset.engine, tun::EngineKind::automatic);
  EXPECT_EQ(unset.aead, "auto");
}

TEST(Options, ABadVariableIsNamedAndABetterOptionHelps) {
  const std::pair<const char*, Environment> rows[] = {{"WGRING_ENGINE: ", {.engine = "kqueue"}},
                                                      {"WGRING_AEAD: ", {.aead = "rot13"}},
                                                      {"WGRING_SHARDS: ", {.shards = "3"}},
                                                      {"WGRING_LANES: ", {.lanes = "16"}}};
  for (const auto& [variable, environment] : rows) {
    EXPECT_NE(refused({"wg0"}, environment).text.find(variable), std::string::npos) << variable;
    accepted({"--engine=auto", "--aead=auto", "--shards=auto", "--lanes=auto", "wg0"}, environment);
  }
}

TEST(Options, WordsOfOtherProgramsInLogLevelAreNoErrors) {
  EXPECT_EQ(accepted({"wg0"}, {.log_level = "TRACE"}).log_level, LogLevel::info);
  EXPECT_EQ(accepted({"wg0"}, {.log_level = ""}).log_level, LogLevel::info);
}

TEST(Options, BadDescriptorsAreNamed) {
  for (const char* const text : {"x", "-1", "0", "2", "3x", " 3", "99999999999"}) {
    EXPECT_NE(refused({"wg0"}, {.tun_fd = text}).text.find("WG_TUN_FD"), std::string::npos) << text;
    EXPECT_NE(refused({"wg0"}, {.uapi_fd = text}).text.find("WG_UAPI_FD"), std::string::npos)
        << text;
  }
}

TEST(Options, EmptyDescriptorsAreNotSet) {
  const Options options = accepted({"wg0"}, {.tun_fd = "", .uapi_fd = ""});
  EXPECT_FALSE(options.tun_fd);
  EXPECT_FALSE(options.uapi_fd);
}

TEST(Options, OneDescriptorCannotBeBoth) {
  const EarlyExit exit = refused({"wg0"}, {.tun_fd = "7", .uapi_fd = "7"});
  EXPECT_EQ(exit.code, 1);
  EXPECT_NE(exit.text.find("WG_TUN_FD and WG_UAPI_FD"), std::string::npos) << exit.text;
}

TEST(Options, OffloadsAreForbiddenByOptionAndVariable) {
  const Options options =
      accepted({"--no-offload=tun-uso,udp-gro", "wg0"}, {.no_offload = "tun-tso"});
  for (std::size_t i = 0; i < tun::offload_count; ++i) {
    const auto offload = static_cast<tun::Offload>(i);
    const bool forbidden = offload == tun::Offload::tun_uso || offload == tun::Offload::udp_gro ||
                           offload == tun::Offload::tun_tso;
    EXPECT_EQ(options.offloads.has(offload), !forbidden) << tun::offload_name(offload);
  }
  const Options none = accepted({"--no-offload=all", "wg0"});
  EXPECT_FALSE(none.offloads.has(tun::Offload::udp_gso));
  EXPECT_NE(refused({"wg0"}, {.no_offload = "x"}).text.find("WGRING_NO_OFFLOAD"),
            std::string::npos);
}

TEST(Options, FaultsAreOneLineAndNameTheCause) {
  const std::pair<std::vector<const char*>, std::string> rows[] = {
      {{}, "IFNAME"},
      {{"-v"}, "-v"},
      {{"--no-such", "-f"}, "--no-such"},
      {{"a/b"}, "IFNAME"},
      {{"wg0", "wg1"}, "wg1"},
      {{"--nonsense", "wg0"}, "--nonsense"},
      {{"--engine=nonsense", "wg0"}, "nonsense"},
      {{"--engine", "wg0"}, "--engine"},
      {{"--engine=", "wg0"}, "--engine: no value"},
      {{"wg0", "--no-offload="}, "--no-offload: no value"},
      {{"--no-offload=", "wg0"}, "--no-offload: no value"},
      {{"--version=3"}, "--version: takes no value"},
      {{"--foreground=maybe", "wg0"}, "--foreground: takes no value"},
      {{"--engine=1", "wg0"}, "--engine"},
      {{"--aead=openssl", "wg0"}, "--aead"},
      {{"--lanes=many", "wg0"}, "'many'"},
      {{"--shards=many", "wg0"}, "'many'"},
      {{"--shards=3", "wg0"}, "--shards: '3'"},
      {{"--shards=0", "wg0"}, "--shards: '0'"},
      {{"--shards=32", "wg0"}, "--shards: '32'"},
      {{"--log-level=loud", "wg0"}, "--log-level"},
      {{"--no-offload=tun-tso,nonsense", "wg0"}, "'nonsense'"},
      {{""}, "interface name"},
      {{"a/b"}, "interface name"},
  };
  for (const auto& [words, cause] : rows) {
    const EarlyExit exit = refused(words);
    EXPECT_EQ(exit.code, 1);
    EXPECT_NE(exit.text.find(cause), std::string::npos) << exit.text;
    EXPECT_EQ(exit.text.find('\n'), exit.text.size() - 1) << exit.text;
  }
}

TEST(Options, HelpNamesEveryOptionAndVariable) {
  const EarlyExit help = refused({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* const word : {"IFNAME",
                                 "--foreground",
                                 "-f",
                                 "--engine",
                                 "epoll",
                                 "--aead",
                                 "--lanes",
                                 "--shards",
                                 "--log-level",
                                 "--version",
                                 "--help",
                                 "--no-offload",
                                 "WGRING_NO_OFFLOAD",
                                 "WGRING_ENGINE",
                                 "WGRING_AEAD",
                                 "WGRING_SHARDS",
                                 "WGRING_LANES",
                                 "WG_TUN_FD",
                                 "WG_UAPI_FD",
                                 "WG_PROCESS_FOREGROUND",
                                 "LOG_LEVEL"}) {
    EXPECT_NE(help.text.find(word), std::string::npos) << word;
  }
  const EarlyExit version = refused({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_TRUE(version.text.starts_with("wgring "));
}

TEST(InterfaceName, TakesWhatTheKernelTakes) {
  for (const std::string_view name : {"wg0", "a", "fifteen_letters", "...", "wg%d", "w\xc3\xa9"}) {
    EXPECT_EQ(interface_name_fault(name), "") << name;
  }
}

// fault: shell-text
TEST(InterfaceName, RefusesWhatIsNoNameOrNoFileName) {
  for (const std::string_view name :
       {std::string_view{""}, std::string_view{"sixteen_letters_"}, std::string_view{"."},
        std::string_view{".."}, std::string_view{"a/b"}, std::string_view{"a b"},
        std::string_view{"a\tb"}, std::string_view{"a\nb"}, std::string_view{"a:1"},
        std::string_view{"a\0b", 3}, std::string_view{"a\x7f"}}) {
    EXPECT_NE(interface_name_fault(name), "") << name;
  }
}

}  // namespace
}  // namespace wgring::daemon

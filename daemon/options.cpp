#include "daemon/options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdlib>
#include <map>
#include <string_view>
#include <vector>

#include <fmt/ranges.h>
#include <unistd.h>

#include "daemon/interface_name.hpp"
#include "daemon/setup_error.hpp"
#include "tun/inlet.hpp"
#include "tun/lanes.hpp"

namespace wgring::daemon {
namespace {

constexpr const char* description =
    "wgring: WireGuard in userspace. Makes the interface IFNAME and serves its configuration to\n"
    "wg(8) and wg-quick(8). Goes to the background when interface and socket are ready.";

constexpr const char* footer =
    "Environment:\n"
    "  WG_PROCESS_FOREGROUND=1  as --foreground\n"
    "  LOG_LEVEL                as --log-level, which wins\n"
    "  WG_TUN_FD                descriptor of a TUN to use in place of making one\n"
    "  WG_UAPI_FD               descriptor of a listening UNIX socket to serve\n"
    "  WGRING_NO_OFFLOAD        as --no-offload, in addition to it\n"
    "  WGRING_ENGINE, WGRING_AEAD, WGRING_SHARDS, WGRING_LANES, WGRING_SANDBOX, WGRING_USER\n"
    "                           as the option of that name, which wins\n"
    "\n"
    "Exit status: 0 ended as asked, 1 the start or the data path failed. See wgring(8).";

const std::map<std::string, tun::EngineKind> engines{{"auto", tun::EngineKind::automatic},
                                                     {"epoll", tun::EngineKind::epoll},
                                                     {"uring", tun::EngineKind::uring},
                                                     {"uring-basic", tun::EngineKind::uring_basic}};
const std::map<std::string, LogLevel> log_levels{
    {"silent", LogLevel::silent}, {"error", LogLevel::error},   {"info", LogLevel::info},
    {"debug", LogLevel::debug},   {"verbose", LogLevel::debug},
};

const std::map<std::string, SandboxMode> sandboxes{
    {"auto", SandboxMode::automatic}, {"kill", SandboxMode::kill}, {"off", SandboxMode::off}};

constexpr std::string_view aeads[] = {"auto", "ipsec-mb", "boringssl", "sodium"};
constexpr std::string_view offload_words =
    "tun-tso, tun-uso, tun-tcp-join, tun-udp-join, udp-gso, udp-gro, all";

EarlyExit usage_error(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return {.code = 1, .text = fmt::format("wgring: {} (see --help)\n", text)};
}

// All of the text, in decimal digits.
template <typename Number>
std::optional<Number> number_of(std::string_view text) noexcept {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool valid = error == std::errc{} && end == text.data() + text.size();
  return valid ? std::optional{number} : std::nullopt;
}

std::optional<EarlyExit> take_descriptor(const char* variable, const char* value,
                                         std::optional<int>& fd) {
  if (value == nullptr || *value == '\0') {
    return std::nullopt;
  }
  fd = number_of<int>(value);
  // Standard input, output and error are not taken: the background process gives them away.
  if (fd && *fd > STDERR_FILENO) {
    return std::nullopt;
  }
  return usage_error(fmt::format("{}: not the number of a descriptor above 2", variable));
}

// Words are separated by commas; "all" is every offload.
std::optional<EarlyExit> take_no_offload(std::string_view source, std::string_view words,
                                         tun::Offloads& offloads) {
  while (!words.empty()) {
    const std::string_view word = words.substr(0, words.find(','));
    words.remove_prefix(std::min(words.size(), word.size() + 1));
    bool known = false;
    for (std::size_t i = 0; i < tun::offload_count; ++i) {
      const auto offload = static_cast<tun::Offload>(i);
      if (word == "all" || word == tun::offload_name(offload)) {
        offloads.turn_off(offload, "forbidden by option");
        known = true;
      }
    }
    if (!known) {
      return usage_error(
          fmt::format("{}: no offload '{}'; there are: {}", source, word, offload_words));
    }
  }
  return std::nullopt;
}

template <typename Value>
std::vector<std::string> words_of(const std::map<std::string, Value>& values) {
  std::vector<std::string> words;
  words.reserve(values.size());
  for (const auto& [word, value] : values) {
    words.push_back(word);
  }
  return words;
}

// What an option says, or else the variable that stands for it where no option can be given.
struct Setting {
  std::string_view source;  // one of the two, for the error
  std::string_view word;
};

Setting setting_of(std::string_view option, const std::string& word, std::string_view variable,
                   const char* value) {
  if (word.empty() && value != nullptr && *value != '\0') {
    return {.source = variable, .word = value};
  }
  return {.source = option, .word = word.empty() ? "auto" : std::string_view{word}};
}

// `what` names the kind of thing in the error.
template <typename Value>
std::optional<EarlyExit> take_word(Setting setting, std::string_view what,
                                   const std::map<std::string, Value>& values, Value& value) {
  const auto known = values.find(std::string{setting.word});
  if (known == values.end()) {
    return usage_error(fmt::format("{}: no {} '{}'; there are: {}", setting.source, what,
                                   setting.word, fmt::join(words_of(values), ", ")));
  }
  value = known->second;
  return std::nullopt;
}

std::optional<EarlyExit> take_aead(Setting setting, std::string& aead) {
  if (std::ranges::find(aeads, setting.word) == std::end(aeads)) {
    return usage_error(fmt::format("{}: no AEAD '{}'; there are: {}", setting.source, setting.word,
                                   fmt::join(aeads, ", ")));
  }
  aead = setting.word;
  return std::nullopt;
}

std::optional<EarlyExit> take_shards(Setting setting, std::uint32_t& shard_bits) {
  if (setting.word == "auto") {
    return std::nullopt;
  }
  const auto count = number_of<std::uint32_t>(setting.word);
  if (!count || *count > tun::shards_max || !std::has_single_bit(*count)) {
    return usage_error(
        fmt::format("{}: '{}' is neither auto nor 1, 2, 4, 8 or 16", setting.source, setting.word));
  }
  shard_bits = static_cast<std::uint32_t>(std::countr_zero(*count));
  return std::nullopt;
}

std::optional<EarlyExit> take_lanes(Setting setting, std::optional<std::uint32_t>& lanes) {
  if (setting.word == "auto") {
    return std::nullopt;
  }
  const auto count = number_of<std::uint32_t>(setting.word);
  if (!count || *count > tun::lanes_max) {
    return usage_error(fmt::format("{}: '{}' is neither auto nor a number up to {}", setting.source,
                                   setting.word, tun::lanes_max));
  }
  lanes = count;
  return std::nullopt;
}

std::optional<EarlyExit> take_environment(const Environment& environment, Options& options) {
  const std::string_view foreground =
      environment.foreground != nullptr ? environment.foreground : "";
  options.foreground = foreground == "1";
  // The variable is shared with other programs, which know other words: those are not errors.
  const auto level = log_levels.find(environment.log_level != nullptr ? environment.log_level : "");
  if (level != log_levels.end()) {
    options.log_level = level->second;
  }
  if (auto fault = take_descriptor("WG_TUN_FD", environment.tun_fd, options.tun_fd)) {
    return fault;
  }
  if (auto fault = take_descriptor("WG_UAPI_FD", environment.uapi_fd, options.uapi_fd)) {
    return fault;
  }
  if (options.tun_fd && options.tun_fd == options.uapi_fd) {
    return usage_error("WG_TUN_FD and WG_UAPI_FD are the same descriptor");
  }
  return take_no_offload("WGRING_NO_OFFLOAD",
                         environment.no_offload != nullptr ? environment.no_offload : "",
                         options.offloads);
}

// The words as given, empty where they are not; they become values when all of the line is known
// to be good.
struct Words {
  std::string engine;
  std::string aead;
  std::string shards;
  std::string lanes;
  std::string sandbox;
  std::string no_offload;
  std::string log_level;
};

std::optional<EarlyExit> take_settings(const Words& words, const Environment& environment,
                                       Options& options) {
  if (auto fault =
          take_word(setting_of("--engine", words.engine, "WGRING_ENGINE", environment.engine),
                    "engine", engines, options.engine)) {
    return fault;
  }
  if (auto fault = take_aead(setting_of("--aead", words.aead, "WGRING_AEAD", environment.aead),
                             options.aead)) {
    return fault;
  }
  if (auto fault =
          take_shards(setting_of("--shards", words.shards, "WGRING_SHARDS", environment.shards),
                      options.shard_bits)) {
    return fault;
  }
  if (auto fault =
          take_word(setting_of("--sandbox", words.sandbox, "WGRING_SANDBOX", environment.sandbox),
                    "sandbox", sandboxes, options.sandbox)) {
    return fault;
  }
  if (options.user.empty() && environment.user != nullptr) {
    options.user = environment.user;
  }
  return take_lanes(setting_of("--lanes", words.lanes, "WGRING_LANES", environment.lanes),
                    options.lanes);
}

constexpr std::string_view flags[] = {"--foreground", "--help", "--version"};

// What the library would let pass: for the value that is missing in "--option=" it takes the next
// word, which may be IFNAME; to a flag it gives whatever value there is.
std::optional<EarlyExit> find_misplaced_value(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--") {
      break;
    }
    const std::size_t equals = word.find('=');
    if (!word.starts_with("--") || equals == std::string_view::npos) {
      continue;
    }
    const std::string_view option = word.substr(0, equals);
    if (std::ranges::find(flags, option) != std::end(flags)) {
      return usage_error(fmt::format("{}: takes no value", option));
    }
    if (equals + 1 == word.size()) {
      return usage_error(fmt::format("{}: no value", option));
    }
  }
  return std::nullopt;
}

void declare(CLI::App& app, Options& options, Words& words) {
  app.footer(footer);
  app.set_version_flag("--version", "wgring " WGRING_VERSION, "Print the version and exit");
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.add_option("IFNAME", options.interface_name, "Name of the interface, 1 to 15 bytes")
      ->required();
  app.add_flag("-f,--foreground", options.foreground,
               "Stay in the foreground, log to standard error");
  app.add_option(
         "--engine", words.engine,
         "How packets move: uring needs Linux 6.1, uring-basic 5.7, epoll works everywhere;\n"
         "auto takes uring where it passes a test, else epoll")
      ->check(CLI::IsMember(words_of(engines)))
      ->option_text("auto|epoll|uring|uring-basic");
  app.add_option("--aead", words.aead,
                 "ChaCha20-Poly1305 of which library; auto takes ipsec-mb where the CPU has\n"
                 "AVX-512 IFMA, else boringssl; each only if it passes its test")
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(aeads), std::end(aeads))))
      ->option_text("auto|ipsec-mb|boringssl|sodium");
  app.add_option("--shards", words.shards,
                 "Threads that share the peers out among them, 1, 2, 4, 8 or 16, for many busy\n"
                 "peers; auto takes 1")
      ->option_text("auto|N");
  app.add_option("--lanes", words.lanes,
                 "Threads that help each shard with sealing and opening under load, 0 to 15; auto\n"
                 "takes none on fewer than 4 processors or with several shards")
      ->option_text("auto|N");
  app.add_option("--no-offload", words.no_offload,
                 "Offloads not to use, separated by commas: tun-tso, tun-uso, tun-tcp-join,\n"
                 "tun-udp-join, udp-gso, udp-gro, all. Each is tried at start and goes off by\n"
                 "itself where it does not work")
      ->option_text("NAME[,NAME]");
  app.add_option("--sandbox", words.sandbox,
                 "System calls after set-up: auto allows those it needs, as far as the kernel can\n"
                 "refuse the others; kill ends the process by any other; off allows all")
      ->check(CLI::IsMember(words_of(sandboxes)))
      ->option_text("auto|kill|off");
  app.add_option("--user", options.user,
                 "User to become after set-up, by name or number, with those capabilities\n"
                 "alone that later changes take; the configuration socket stays root's")
      ->option_text("NAME");
  app.add_option("--log-level", words.log_level,
                 "What is logged; verbose is another word for debug")
      ->check(CLI::IsMember(words_of(log_levels)))
      ->option_text("silent|error|info|debug");
}

}  // namespace

Environment Environment::of_process() noexcept {
  return {.tun_fd = std::getenv("WG_TUN_FD"),
          .uapi_fd = std::getenv("WG_UAPI_FD"),
          .foreground = std::getenv("WG_PROCESS_FOREGROUND"),
          .log_level = std::getenv("LOG_LEVEL"),
          .no_offload = std::getenv("WGRING_NO_OFFLOAD"),
          .engine = std::getenv("WGRING_ENGINE"),
          .aead = std::getenv("WGRING_AEAD"),
          .shards = std::getenv("WGRING_SHARDS"),
          .lanes = std::getenv("WGRING_LANES"),
          .sandbox = std::getenv("WGRING_SANDBOX"),
          .user = std::getenv("WGRING_USER")};
}

std::variant<Options, EarlyExit> parse_options(int argc, const char* const* argv,
                                               const Environment& environment) {
  Options options;
  const auto environment_fault = take_environment(environment, options);
  if (auto fault = find_misplaced_value(argc, argv)) {
    return *fault;
  }
  CLI::App app{description, "wgring"};
  Words words;
  declare(app, options, words);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return EarlyExit{.code = 0, .text = app.help()};
  } catch (const CLI::CallForVersion& version) {
    return EarlyExit{.code = 0, .text = fmt::format("{}\n", version.what())};
  } catch (const CLI::RequiredError& error) {
    // What is missing is told before what is unknown, and may be missing because of that.
    const std::vector<std::string> unknown = app.remaining();
    return usage_error(unknown.empty() ? error.what()
                                       : fmt::format("{}: no such option", unknown.front()));
  } catch (const CLI::ParseError& error) {
    return usage_error(error.what());
  }
  if (const auto fault = interface_name_fault(options.interface_name); !fault.empty()) {
    return usage_error(fmt::format("IFNAME: {}", fault));
  }
  if (environment_fault) {
    return *environment_fault;
  }
  if (auto fault = take_settings(words, environment, options)) {
    return *fault;
  }
  if (auto fault = take_no_offload("--no-offload", words.no_offload, options.offloads)) {
    return *fault;
  }
  if (!words.log_level.empty()) {
    options.log_level = log_levels.at(words.log_level);
  }
  return options;
}

}  // namespace wgring::daemon

#include "daemon/log.hpp"

#include <array>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <string_view>

#include <fmt/format.h>
#include <net/if.h>
#include <paths.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/assert.hpp"
#include "tun/fd.hpp"

namespace wgring::daemon {
namespace {

spdlog::level::level_enum spdlog_level(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::silent:
      return spdlog::level::off;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::debug:
      return spdlog::level::debug;
  }
  return spdlog::level::info;
}

// '%' starts a field in a pattern.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out += c;
    out += c == '%' ? "%" : "";
  }
  return out;
}

std::shared_ptr<spdlog::sinks::sink> make_sink(LogTarget target) {
  if (target == LogTarget::system) {
    return std::make_shared<spdlog::sinks::syslog_sink_mt>("wgring", LOG_PID, LOG_DAEMON, true);
  }
  return std::make_shared<spdlog::sinks::stderr_sink_mt>();
}

// --- the last words of a process in the background, where stderr is /dev/null ---

std::array<char, IF_NAMESIZE> interface_of_last_words{};

// By neither spdlog nor syslog(3): a lock may be held, and who reads may have stopped.
template <typename... Arguments>
void last_words(fmt::format_string<Arguments...> format, Arguments&&... arguments) noexcept {
  constexpr int priority = LOG_DAEMON | LOG_CRIT;
  std::array<char, 512> line{};
  try {
    const auto head = fmt::format_to_n(line.begin(), line.size(), "<{}>wgring[{}]: {}: ", priority,
                                       ::getpid(), interface_of_last_words.data());
    const auto room = static_cast<std::size_t>(line.end() - head.out);
    const auto end = fmt::vformat_to_n(head.out, room, format, fmt::make_format_args(arguments...));
    const tun::Fd log{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    const sockaddr_un at{.sun_family = AF_UNIX, .sun_path = _PATH_LOG};
    if (::connect(log.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0) {  // NOLINT
      const auto bytes = static_cast<std::size_t>(end.out - line.begin());
      static_cast<void>(::send(log.get(), line.data(), bytes, MSG_NOSIGNAL));
    }
  } catch (...) {  // NOLINT: nothing is left to be done
  }
}

void report_assertion(const char* expression, const char* file, int line) noexcept {
  last_words("assertion failed: {} ({}:{})", expression, file, line);
}

// std::exception alone has words for what it is.
[[noreturn]] void report_uncaught() noexcept {
  try {
    if (const std::exception_ptr uncaught = std::current_exception()) {
      std::rethrow_exception(uncaught);
    }
    last_words("std::terminate() without an exception");
  } catch (const std::exception& error) {
    last_words("nobody caught: {}", error.what());
  } catch (...) {
    last_words("nobody caught an exception without words");
  }
  std::abort();
}

}  // namespace

void open_log(LogTarget target, LogLevel level, const std::string& interface_name) {
  auto logger = std::make_shared<spdlog::logger>("wgring", make_sink(target));
  // The journal and syslog stamp lines themselves.
  const bool is_stamped = target == LogTarget::system || std::getenv("JOURNAL_STREAM") != nullptr;
  const std::string name = escaped(interface_name);
  logger->set_pattern(is_stamped ? name + ": %v" : "%Y-%m-%d %H:%M:%S.%e %l " + name + ": %v");
  logger->set_level(spdlog_level(level));
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
  if (target == LogTarget::system) {
    interface_name.copy(interface_of_last_words.data(), interface_of_last_words.size() - 1);
    report_assertions_to(report_assertion);
    std::set_terminate(report_uncaught);
  }
}

void write_log(LogLevel level, fmt::string_view format, fmt::format_args arguments) {
  spdlog::logger& logger = *spdlog::default_logger_raw();
  if (logger.should_log(spdlog_level(level))) {
    try {
      logger.log(spdlog_level(level), fmt::vformat(format, arguments));
    } catch (const std::bad_alloc&) {  // NOLINT: without memory the line is lost, and no more
    }
  }
}

}  // namespace wgring::daemon

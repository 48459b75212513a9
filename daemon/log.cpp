#include "daemon/log.hpp"

#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <string_view>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <syslog.h>

#include "base/assert.hpp"

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

// In the background stderr is /dev/null, and an end by abort() would leave no word. Not by spdlog:
// it may be the one that failed.
void report_assertion(const char* expression, const char* file, int line) noexcept {
  ::syslog(LOG_CRIT, "assertion failed: %s (%s:%d)", expression, file, line);  // NOLINT: C's
}

// std::exception alone has words for what it is.
[[noreturn]] void report_uncaught() noexcept {
  try {
    if (const std::exception_ptr uncaught = std::current_exception()) {
      std::rethrow_exception(uncaught);
    }
    ::syslog(LOG_CRIT, "std::terminate() without an exception");  // NOLINT: C's
  } catch (const std::exception& error) {
    ::syslog(LOG_CRIT, "nobody caught: %s", error.what());  // NOLINT: C's
  } catch (...) {
    ::syslog(LOG_CRIT, "nobody caught an exception without words");  // NOLINT: C's
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

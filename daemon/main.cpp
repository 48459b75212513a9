// wgring: one interface per process. See docs/wgring.8.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <variant>

#include "daemon/background.hpp"
#include "daemon/log.hpp"
#include "daemon/options.hpp"
#include "daemon/process.hpp"

namespace wgring::daemon {
namespace {

int run(const Options& options, Readiness& readiness) {
  try {
    Process process(options);
    process.set_up();
    readiness.succeed();
    return process.run();
  } catch (const std::exception& error) {
    readiness.fail_with(error.what());
    return 1;
  }
}

int start(const Options& options) {
  Readiness readiness = Readiness::foreground();
  try {
    harden_process();
    if (!options.foreground) {
      ::signal(SIGHUP, SIG_IGN);
      readiness = Readiness::background();
    }
    open_log(options.foreground ? LogTarget::standard_error : LogTarget::system, options.log_level,
             options.interface_name);
  } catch (const std::exception& error) {
    readiness.fail_with(error.what());
    return 1;
  }
  return run(options, readiness);
}

int main_of(int argc, const char* const* argv) {
  const auto parsed = parse_options(argc, argv, Environment::of_process());
  if (const auto* const exit = std::get_if<EarlyExit>(&parsed)) {
    std::fputs(exit->text.c_str(), exit->code == 0 ? stdout : stderr);
    return exit->code;
  }
  return start(std::get<Options>(parsed));
}

}  // namespace
}  // namespace wgring::daemon

int main(int argc, char** argv) {
  try {
    return wgring::daemon::main_of(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "wgring: %s\n", error.what());
    return 1;
  }
}

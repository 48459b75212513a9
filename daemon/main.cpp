// wgring: one interface per process. See docs/wgring.8.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/background.hpp"
#include "daemon/descriptors.hpp"
#include "daemon/hardening.hpp"
#include "daemon/log.hpp"
#include "daemon/options.hpp"
#include "daemon/process.hpp"
#include "daemon/setup_error.hpp"

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

// While none of ours is open: a number that the starter did not open could be one of ours later.
std::vector<int> given_descriptors(const Options& options) {
  std::vector<int> given;
  for (const auto& [variable, fd] :
       {std::pair{"WG_TUN_FD", options.tun_fd}, std::pair{"WG_UAPI_FD", options.uapi_fd}}) {
    if (fd && !is_open(*fd)) {
      fail_setup("{}: descriptor {} is not open", variable, *fd);
    }
    if (fd) {
      given.push_back(*fd);
    }
  }
  return given;
}

int start(const Options& options) {
  Readiness readiness = Readiness::foreground();
  try {
    harden_process();
    const std::vector<int> given = given_descriptors(options);
    if (!options.foreground) {
      ::signal(SIGHUP, SIG_IGN);
      readiness = Readiness::background(given);
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
  ensure_standard_streams();
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

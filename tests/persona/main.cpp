// persona NAME -- COMMAND ARGS...: runs a command as if the kernel were an older or a stricter
// one. The command takes the place of this process: same pid, same descriptors, its own exit code.
#include <cstdio>
#include <exception>
#include <optional>
#include <string_view>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/persona/filter.hpp"
#include "tests/persona/personas.hpp"
#include "tests/persona/supervisor.hpp"

namespace wgring::persona {
namespace {

// As env(1) and timeout(1) have them.
constexpr int exit_failed = 125;
constexpr int exit_cannot_execute = 126;
constexpr int exit_not_found = 127;

void print_usage(std::FILE* to) {
  std::fputs("usage: persona NAME -- COMMAND [ARGUMENT]...\nNAME is one of\n", to);
  for (const Persona& persona : personas()) {
    std::fprintf(to, "  %-18s%s\n", persona.name.data(), persona.what.data());
  }
}

// A standard stream that is closed stays so for the command, but no descriptor of ours gets its
// number: the supervisor puts /dev/null there.
void occupy_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) < 0) {
      static_cast<void>(::open("/dev/null", O_RDWR | O_CLOEXEC));
    }
  }
}

void put_on(const Persona& persona) {
  occupy_standard_streams();
  Filter filter;
  persona.rules(filter);
  std::optional<Supervisor> supervisor;
  if (persona.judge != nullptr) {
    supervisor.emplace(Supervisor::start(persona.judge));
  }
  const OwnFd listener(filter.load());
  if (supervisor) {
    supervisor->attach(listener.get());
  }
}

int main_of(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    print_usage(stdout);
    return 0;
  }
  const Persona* const persona = argc > 1 ? find_persona(argv[1]) : nullptr;
  if (persona == nullptr || argc < 4 || std::string_view(argv[2]) != "--") {
    print_usage(stderr);
    return exit_failed;
  }
  put_on(*persona);
  ::execvp(argv[3], argv + 3);
  const int error = errno;
  std::fprintf(stderr, "persona: %s: %s\n", argv[3], ::strerror(error));
  return error == ENOENT ? exit_not_found : exit_cannot_execute;
}

}  // namespace
}  // namespace wgring::persona

int main(int argc, char** argv) {
  try {
    return wgring::persona::main_of(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "persona: %s\n", error.what());
    return 125;
  }
}

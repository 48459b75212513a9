// Does the fuzzer see? A fault behind six bytes, compared one by one: chance alone needs 2^48
// tries, a fuzzer that is told of each branch some thousands. ./dev fuzz fails when this does not
// crash.
// With a fault of tests/canary in WGRING_CANARY that one is committed: do its sanitizers see?
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/canary/faults.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (const char* const fault = std::getenv("WGRING_CANARY"); fault != nullptr) {
    return wgring::test::commit_fault(fault) ? 0 : -1;
  }
  constexpr std::string_view secret = "wgring";
  std::size_t right = 0;
  while (right < secret.size() && right < size &&
         data[right] == static_cast<std::uint8_t>(secret[right])) {
    right += 1;
  }
  if (right == secret.size()) {
    std::fputs("fuzz canary: found\n", stderr);
    std::abort();
  }
  return 0;
}

// Does the fuzzer see? A fault behind six bytes, compared one by one: chance alone needs 2^48
// tries, a fuzzer that is told of each branch some thousands. ./dev fuzz fails when this does not
// crash.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
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

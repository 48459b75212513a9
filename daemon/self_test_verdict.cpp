#include "daemon/self_test_verdict.hpp"

#include <fmt/format.h>

namespace wgring::daemon {

SelfTestVerdict judge_self_test(std::span<const crypto::SelfTestResult> results) {
  SelfTestVerdict verdict{.fatal = {}, .errors = {}, .aead_reason = "self-test passed"};
  for (const crypto::SelfTestResult& result : results) {
    if (result.passed) {
      continue;
    }
    if (result.primitive.starts_with("chacha20-poly1305/")) {
      verdict.errors.push_back(fmt::format(
          "self-test: {} gives wrong answers on this machine and is not used", result.primitive));
      verdict.aead_reason = "self-test passed, another one failed";
    } else if (verdict.fatal.empty()) {
      verdict.fatal =
          fmt::format("self-test: {} gives wrong answers on this machine", result.primitive);
    }
  }
  return verdict;
}

}  // namespace wgring::daemon

// What the process makes of the self-test: go on, go on without a backend, or not start at all.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "crypto/self_test.hpp"

namespace wgring::daemon {

struct SelfTestVerdict {
  std::string fatal;                // not empty: do not start, and why
  std::vector<std::string> errors;  // lines for the log, a backend each
  std::string aead_reason;          // why the AEAD that was chosen may be used
};

// There are several backends of ChaCha20-Poly1305 and crypto::choose_aead() takes one that passed.
// Of everything else there is one only.
[[nodiscard]] SelfTestVerdict judge_self_test(std::span<const crypto::SelfTestResult> results);

}  // namespace wgring::daemon

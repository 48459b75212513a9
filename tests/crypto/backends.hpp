// The backends that this machine can run; which ones is said by name in the test's output.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "crypto/aead.hpp"
#include "crypto/aead_ipsecmb.hpp"
#include "crypto/aead_raw.hpp"
#include "crypto/self_test_judges.hpp"

namespace wgring::crypto::test_backends {

[[nodiscard]] inline bool has_ipsecmb() {
  static const bool has = judge_ipsecmb(ipsecmb_facts()).use != AeadUse::never;
  return has;
}

[[nodiscard]] inline std::vector<const Aead*> all() {
  std::vector<const Aead*> backends{&aead_boringssl(), &aead_sodium()};
  if (has_ipsecmb()) {
    backends.push_back(&aead_ipsecmb());
  }
  return backends;
}

[[nodiscard]] inline std::vector<const RawAead*> all_raw() {
  std::vector<const RawAead*> backends{&raw_aead_boringssl(), &raw_aead_sodium()};
  if (has_ipsecmb()) {
    backends.push_back(&raw_aead_ipsecmb());
  }
  return backends;
}

// GoogleTest wants a name of letters, digits and underscores.
template <typename Backend>
[[nodiscard]] std::string test_name(const Backend& backend) {
  std::string name(backend.name);
  std::ranges::replace(name, '-', '_');
  return name;
}

}  // namespace wgring::crypto::test_backends

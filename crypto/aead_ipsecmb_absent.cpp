// Builds without intel-ipsec-mb: the facts say so, and nobody may ask for more.
#include "crypto/aead_ipsecmb.hpp"

namespace wgring::crypto {

IpsecMbFacts ipsecmb_facts() noexcept { return {}; }

void prepare_ipsecmb_thread() noexcept { WG_ASSERT(!"intel-ipsec-mb is not built in"); }
Bytes ipsecmb_thread_memory() noexcept { return {}; }

const Aead& aead_ipsecmb() noexcept {
  WG_ASSERT(!"intel-ipsec-mb is not built in");
  return aead_boringssl();
}
const RawAead& raw_aead_ipsecmb() noexcept {
  WG_ASSERT(!"intel-ipsec-mb is not built in");
  return raw_aead_boringssl();
}

}  // namespace wgring::crypto

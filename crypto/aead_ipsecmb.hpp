// Internal to crypto/ and its tests: the backend on intel-ipsec-mb, which is optional at build and
// depends on the CPU. aead_ipsecmb_absent.cpp stands in where it is not built.
#pragma once

#include "crypto/aead.hpp"
#include "crypto/aead_raw.hpp"

namespace wgring::crypto {

// What decides whether this backend is used, gathered apart from the decision so that a test can
// be any CPU.
struct IpsecMbFacts {
  bool built = false;
  bool cpu_has_avx2 = false;
  // The foundation, DQ, CD, BW, VL and the 52-bit multiplication that Poly1305 takes.
  bool cpu_has_avx512_ifma = false;
  // The library clears keystream and one-time keys from its stack and the vector registers.
  bool library_wipes = false;
  std::size_t manager_bytes = 0;
  // The library's own self-test passed when this thread's manager was set up.
  bool library_starts = false;
};

// What a manager may need at most; libipsec-mb 1.3 needs 200 744 bytes.
inline constexpr std::size_t ipsecmb_manager_bytes_max = std::size_t{256} * 1024;

[[nodiscard]] IpsecMbFacts ipsecmb_facts() noexcept;

// Sets this thread's manager up, which costs a fraction of a millisecond; without this call its
// first packet does. Only where the facts allow the backend, as all below.
void prepare_ipsecmb_thread() noexcept;
// This thread's manager, for the test that looks for keys left behind.
[[nodiscard]] Bytes ipsecmb_thread_memory() noexcept;

[[nodiscard]] const Aead& aead_ipsecmb() noexcept;
[[nodiscard]] const RawAead& raw_aead_ipsecmb() noexcept;

}  // namespace wgring::crypto

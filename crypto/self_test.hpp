// What must hold before the first packet: the libraries are set up, and each primitive gives the
// published answer on this machine (their code is chosen by CPU features at run time).
#pragma once

#include <span>
#include <string_view>

#include "base/result.hpp"
#include "crypto/aead.hpp"

namespace wgring::crypto {

struct SelfTestResult {
  std::string_view primitive;  // "x25519", "chacha20-poly1305/boringssl", ...
  bool passed;
};

// Once, from the main thread, before anything else of crypto/ and before other threads start.
[[nodiscard]] Status initialise() noexcept;

// Optional, at the start of a thread that handles packets: BoringSSL allocates a record of its last
// errors at a thread's first failure and intel-ipsec-mb sets up its manager at a thread's first
// packet, and this makes that happen here instead.
void prepare_thread() noexcept;

// Runs once, and gives the same results in the same order ever after. A backend that cannot run on
// this machine has no row.
[[nodiscard]] std::span<const SelfTestResult> self_test() noexcept;

// "" or "auto": intel-ipsec-mb where it is built in and the CPU has the AVX-512 that makes it the
// fastest, else BoringSSL, else libsodium; each only if it passed its self-test. "ipsec-mb",
// "boringssl" or "sodium": that one or an Error. The handshake functions aead_seal() and
// aead_open() follow the choice.
[[nodiscard]] Result<const Aead*> choose_aead(std::string_view forced) noexcept;

}  // namespace wgring::crypto

#include "noise/symmetric_state.hpp"

#include "crypto/aead.hpp"
#include "crypto/blake2s.hpp"
#include "crypto/kdf.hpp"
#include "crypto/x25519.hpp"

namespace wgring::noise {

void SymmetricState::start(Bytes protocol_name, Bytes prologue) noexcept {
  WG_ASSERT(protocol_name.size() > crypto::hash_bytes);
  crypto::hash(chaining_key_.fill(), protocol_name);
  crypto::hash(transcript_.fill(), chaining_key_.view(), prologue);
}

void SymmetricState::mix_hash(Bytes data) noexcept {
  crypto::hash(transcript_.fill(), transcript_.view(), data);
}

void SymmetricState::mix_chain(Bytes input) noexcept {
  crypto::kdf1(chaining_key_.fill(), chaining_key_.view(), input);
}

void SymmetricState::mix_key(crypto::Secret<32>& key, const crypto::Secret<32>& shared) noexcept {
  crypto::kdf2(chaining_key_.fill(), key.fill(), chaining_key_.view(), shared.view());
}

bool SymmetricState::mix_dh(crypto::Secret<32>& key, const crypto::Secret<32>& private_key,
                            BytesOf<32> public_key) noexcept {
  crypto::Secret<32> shared;
  if (!crypto::x25519(shared.fill(), private_key.view(), public_key)) {
    return false;
  }
  mix_key(key, shared);
  return true;
}

void SymmetricState::mix_psk(crypto::Secret<32>& key,
                             const crypto::Secret<32>& preshared_key) noexcept {
  crypto::Secret<32> tau;
  crypto::kdf3(chaining_key_.fill(), tau.fill(), key.fill(), chaining_key_.view(),
               preshared_key.view());
  mix_hash(tau.view());
}

void SymmetricState::seal_and_hash(MutableBytes sealed, Bytes plain,
                                   const crypto::Secret<32>& key) noexcept {
  crypto::aead_seal(sealed, plain, transcript_.view(), key.view(), 0);
  mix_hash(sealed);
}

bool SymmetricState::open_and_hash(MutableBytes plain, Bytes sealed,
                                   const crypto::Secret<32>& key) noexcept {
  if (!crypto::aead_open(plain, sealed, transcript_.view(), key.view(), 0)) {
    return false;
  }
  mix_hash(sealed);
  return true;
}

void SymmetricState::split(crypto::Secret<32>& first, crypto::Secret<32>& second) const noexcept {
  crypto::kdf2(first.fill(), second.fill(), chaining_key_.view(), {});
}

void SymmetricState::wipe() noexcept {
  chaining_key_.wipe();
  transcript_.wipe();
}

SymmetricState SymmetricState::clone() const noexcept {
  SymmetricState copy;
  copy.chaining_key_ = chaining_key_.clone();
  copy.transcript_ = transcript_.clone();
  return copy;
}

}  // namespace wgring::noise

#include "noise/identity.hpp"

#include "crypto/blake2s.hpp"

namespace wgring::noise {
namespace {

constexpr ByteArray<8> label_mac1 = {'m', 'a', 'c', '1', '-', '-', '-', '-'};
constexpr ByteArray<8> label_cookie = {'c', 'o', 'o', 'k', 'i', 'e', '-', '-'};

}  // namespace

MacKeys mac_keys_of(const crypto::PublicKey& public_key) noexcept {
  MacKeys keys;
  crypto::hash(keys.mac1, label_mac1, public_key);
  crypto::hash(keys.cookie, label_cookie, public_key);
  return keys;
}

void LocalIdentity::set(const crypto::Secret<32>& private_key) noexcept {
  private_key_ = private_key.clone();
  crypto::clamp(private_key_.fill());
  crypto::x25519_public(public_key_, private_key_.view());
  mac_keys_ = mac_keys_of(public_key_);
  present_ = true;
}

void LocalIdentity::clear() noexcept {
  private_key_.wipe();
  public_key_ = {};
  mac_keys_ = {};
  present_ = false;
}

void RemoteIdentity::set_public_key(const crypto::PublicKey& key) noexcept {
  public_key = key;
  mac_keys = mac_keys_of(key);
  forget_static_static();
}

const crypto::Secret<32>* RemoteIdentity::static_static(const LocalIdentity& local) noexcept {
  if (!local.present()) {
    return nullptr;
  }
  if (shared_state_ == SharedState::unknown) {
    const bool usable = crypto::x25519(shared_.fill(), local.private_key().view(), public_key);
    shared_state_ = usable ? SharedState::known : SharedState::zero;
  }
  return shared_state_ == SharedState::known ? &shared_ : nullptr;
}

void RemoteIdentity::forget_static_static() noexcept {
  shared_.wipe();
  shared_state_ = SharedState::unknown;
}

}  // namespace wgring::noise

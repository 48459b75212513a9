#include "noise/handshake.hpp"

#include <string_view>
#include <utility>

#include "noise/constants.hpp"

namespace wgring::noise {
namespace {

constexpr std::string_view construction = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
constexpr std::string_view identifier = "WireGuard v1 zx2c4 Jason@zx2c4.com";

constexpr Duration initiation_gap = Duration{1s} / initiations_per_second;

constexpr std::size_t sealed_static_bytes =
    InitiationLayout::sealed_timestamp - InitiationLayout::sealed_static;
constexpr std::size_t sealed_timestamp_bytes =
    InitiationLayout::mac1 - InitiationLayout::sealed_timestamp;
constexpr std::size_t sealed_empty_bytes = ResponseLayout::mac1 - ResponseLayout::sealed_empty;
static_assert(sealed_static_bytes == sizeof(crypto::PublicKey) + crypto::tag_bytes);
static_assert(sealed_timestamp_bytes == sizeof(Timestamp) + crypto::tag_bytes);
static_assert(sealed_empty_bytes == crypto::tag_bytes);

Bytes as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Protocol section 4.1. `responder` is the static key of whoever answers.
void start(SymmetricState& symmetric, const crypto::PublicKey& responder) noexcept {
  symmetric.start(as_bytes(construction), as_bytes(identifier));
  symmetric.mix_hash(responder);
}

// The e token; the key goes into the chain as well because a preshared key is in use.
void mix_ephemeral(SymmetricState& symmetric, BytesOf<32> ephemeral) noexcept {
  symmetric.mix_hash(ephemeral);
  symmetric.mix_chain(ephemeral);
}

[[nodiscard]] bool make_ephemeral(crypto::Secret<32>& private_key, crypto::PublicKey& public_key,
                                  const Entropy& entropy) noexcept {
  if (!entropy(private_key.fill())) {
    return false;
  }
  crypto::clamp(private_key.fill());
  crypto::x25519_public(public_key, private_key.view());
  return true;
}

}  // namespace

std::optional<OpenedInitiation> open_initiation(BytesOf<InitiationLayout::size> message,
                                                const LocalIdentity& local) noexcept {
  using Layout = InitiationLayout;
  if (!local.present()) {
    return std::nullopt;
  }
  OpenedInitiation opened;
  const auto ephemeral = message.subspan<Layout::ephemeral, 32>();
  start(opened.symmetric_, local.public_key());
  mix_ephemeral(opened.symmetric_, ephemeral);
  crypto::Secret<32> key;
  if (!opened.symmetric_.mix_dh(key, local.private_key(), ephemeral)) {
    return std::nullopt;
  }
  const auto sealed_static = message.subspan<Layout::sealed_static, sealed_static_bytes>();
  if (!opened.symmetric_.open_and_hash(opened.initiator_, sealed_static, key)) {
    return std::nullopt;
  }
  copy_bytes(opened.ephemeral_, ephemeral);
  copy_bytes(opened.sealed_timestamp_,
             message.subspan<Layout::sealed_timestamp, sealed_timestamp_bytes>());
  opened.sender_index_ = load_le32(message.data() + Layout::sender_index);
  return opened;
}

// NOLINTNEXTLINE(readability-function-size): six parameters, each with another owner.
bool Handshake::create_initiation(MutableBytesOf<InitiationLayout::size> message,
                                  std::uint32_t sender_index, const LocalIdentity& local,
                                  RemoteIdentity& remote, WallTime now,
                                  const Entropy& entropy) noexcept {
  return create_initiation_stamped(message, sender_index, local, remote,
                                   tai64n(now, last_sent_timestamp_), entropy);
}

// NOLINTNEXTLINE(readability-function-size): six parameters, each with another owner.
bool Handshake::create_initiation_stamped(MutableBytesOf<InitiationLayout::size> message,
                                          std::uint32_t sender_index, const LocalIdentity& local,
                                          RemoteIdentity& remote, const Timestamp& timestamp,
                                          const Entropy& entropy) noexcept {
  using Layout = InitiationLayout;
  const crypto::Secret<32>* static_static = remote.static_static(local);
  if (static_static == nullptr) {
    return false;
  }
  crypto::Secret<32> ephemeral_private;
  crypto::PublicKey ephemeral{};
  if (!make_ephemeral(ephemeral_private, ephemeral, entropy)) {
    return false;
  }
  SymmetricState symmetric;
  start(symmetric, remote.public_key);
  mix_ephemeral(symmetric, ephemeral);
  crypto::Secret<32> key;
  if (!symmetric.mix_dh(key, ephemeral_private, remote.public_key)) {
    return false;
  }

  // Nothing below can fail.
  store_le32(message.data(), static_cast<std::uint32_t>(MessageType::initiation));
  store_le32(message.data() + Layout::sender_index, sender_index);
  copy_bytes(message.subspan<Layout::ephemeral, 32>(), ephemeral);
  symmetric.seal_and_hash(message.subspan<Layout::sealed_static, sealed_static_bytes>(),
                          local.public_key(), key);
  symmetric.mix_key(key, *static_static);
  symmetric.seal_and_hash(message.subspan<Layout::sealed_timestamp, sealed_timestamp_bytes>(),
                          timestamp, key);

  clear();
  symmetric_ = std::move(symmetric);
  ephemeral_private_ = std::move(ephemeral_private);
  last_sent_timestamp_ = timestamp;
  state_ = HandshakeState::created_initiation;
  return true;
}

bool Handshake::accept_initiation(OpenedInitiation&& opened, const LocalIdentity& local,
                                  RemoteIdentity& remote, Instant now) noexcept {
  OpenedInitiation initiation = std::move(opened);
  WG_ASSERT(equal_public(initiation.initiator_, remote.public_key));
  const crypto::Secret<32>* static_static = remote.static_static(local);
  if (static_static == nullptr) {
    return false;
  }
  SymmetricState& symmetric = initiation.symmetric_;
  crypto::Secret<32> key;
  symmetric.mix_key(key, *static_static);
  Timestamp timestamp{};
  if (!symmetric.open_and_hash(timestamp, initiation.sealed_timestamp_, key)) {
    return false;
  }
  if (!is_after(timestamp, latest_timestamp_) || now < accepts_from_) {
    return false;
  }

  clear();
  symmetric_ = std::move(symmetric);
  remote_ephemeral_ = initiation.ephemeral_;
  remote_index_ = initiation.sender_index_;
  latest_timestamp_ = timestamp;
  accepts_from_ = now + initiation_gap;
  state_ = HandshakeState::consumed_initiation;
  return true;
}

bool Handshake::create_response(MutableBytesOf<ResponseLayout::size> message,
                                std::uint32_t sender_index, const RemoteIdentity& remote,
                                const Entropy& entropy) noexcept {
  using Layout = ResponseLayout;
  if (state_ != HandshakeState::consumed_initiation) {
    return false;
  }
  crypto::Secret<32> ephemeral_private;
  crypto::PublicKey ephemeral{};
  if (!make_ephemeral(ephemeral_private, ephemeral, entropy)) {
    return false;
  }
  SymmetricState symmetric = symmetric_.clone();
  mix_ephemeral(symmetric, ephemeral);
  crypto::Secret<32> key;
  if (!symmetric.mix_dh(key, ephemeral_private, remote_ephemeral_) ||
      !symmetric.mix_dh(key, ephemeral_private, remote.public_key)) {
    return false;
  }
  symmetric.mix_psk(key, remote.preshared_key);

  // Nothing below can fail.
  store_le32(message.data(), static_cast<std::uint32_t>(MessageType::response));
  store_le32(message.data() + Layout::sender_index, sender_index);
  store_le32(message.data() + Layout::receiver_index, remote_index_);
  copy_bytes(message.subspan<Layout::ephemeral, 32>(), ephemeral);
  symmetric.seal_and_hash(message.subspan<Layout::sealed_empty, sealed_empty_bytes>(), {}, key);

  wipe_secrets();
  symmetric_ = std::move(symmetric);
  state_ = HandshakeState::created_response;
  return true;
}

bool Handshake::consume_response(BytesOf<ResponseLayout::size> message, const LocalIdentity& local,
                                 const RemoteIdentity& remote) noexcept {
  using Layout = ResponseLayout;
  if (state_ != HandshakeState::created_initiation || !local.present()) {
    return false;
  }
  const auto ephemeral = message.subspan<Layout::ephemeral, 32>();
  SymmetricState symmetric = symmetric_.clone();
  mix_ephemeral(symmetric, ephemeral);
  crypto::Secret<32> key;
  if (!symmetric.mix_dh(key, ephemeral_private_, ephemeral) ||
      !symmetric.mix_dh(key, local.private_key(), ephemeral)) {
    return false;
  }
  symmetric.mix_psk(key, remote.preshared_key);
  const auto sealed_empty = message.subspan<Layout::sealed_empty, sealed_empty_bytes>();
  if (!symmetric.open_and_hash({}, sealed_empty, key)) {
    return false;
  }

  wipe_secrets();
  symmetric_ = std::move(symmetric);
  remote_index_ = load_le32(message.data() + Layout::sender_index);
  state_ = HandshakeState::consumed_response;
  return true;
}

TransportKeys Handshake::begin_session() noexcept {
  const bool initiator = state_ == HandshakeState::consumed_response;
  WG_ASSERT(initiator || state_ == HandshakeState::created_response);
  TransportKeys keys;
  if (initiator) {
    symmetric_.split(keys.sending, keys.receiving);
  } else {
    symmetric_.split(keys.receiving, keys.sending);
  }
  wipe_secrets();
  state_ = HandshakeState::zeroed;
  return keys;
}

void Handshake::clear() noexcept {
  wipe_secrets();
  remote_index_ = 0;
  state_ = HandshakeState::zeroed;
}

void Handshake::wipe_secrets() noexcept {
  symmetric_.wipe();
  ephemeral_private_.wipe();
  crypto::wipe(remote_ephemeral_);
}

}  // namespace wgring::noise

#include "bench/pipeline/device_pair.hpp"

#include "bench/pipeline/sessions.hpp"
#include "bench/support/stage.hpp"

namespace wgring::bench {
namespace {

constexpr Duration turn = Duration{10};

noise::SocketAddress address(std::uint8_t last) {
  return {.ip = {.family = noise::Family::v4, .bytes = {192, 0, 2, last}},
          .port = 51820,
          .scope_id = 0};
}

}  // namespace

DevicePair::DevicePair(const crypto::Aead& aead, std::uint32_t sessions, noise::JobRunner runner)
    : random_(seed),
      entropy_(seed),
      a_(address(1)),
      b_(address(2)),
      now_{.boottime = Instant{std::chrono::hours{1}},
           .realtime = WallTime{std::chrono::seconds{1'700'000'000}}} {
  WG_ASSERT(sessions <= 0x1'0000);
  WG_ASSERT(pools_.open().has_value());
  sender_.emplace(open(aead, runner));
  receiver_.emplace(open(aead, runner));
  for (std::uint32_t i = 0; i < sessions; ++i) {
    connect(i);
  }
}

Now DevicePair::tick() noexcept {
  now_.boottime += turn;
  now_.realtime += turn;
  return now_;
}

noise::Device DevicePair::open(const crypto::Aead& aead, noise::JobRunner runner) {
  auto opened = noise::Device::open({.memory = memory_.source(),
                                     .entropy = entropy_.entropy(),
                                     .aead = &aead,
                                     .train_pool = &pools_.trains(),
                                     .packet_pool = &pools_.packets(),
                                     .shard = 0,
                                     .shard_bits = 0,
                                     .mark = noise::IndexMark{0x9e37'79b1U, 0},
                                     .now = now_,
                                     .runner = runner});
  WG_ASSERT(opened.has_value());
  crypto::Secret<32> key;
  random_.fill(key.fill());
  opened->set_private_key(key, now_, outbox_);
  opened->set_link(true, now_, outbox_);
  WG_ASSERT(outbox_.empty());
  return std::move(*opened);
}

void DevicePair::connect(std::uint32_t session) {
  crypto::PublicKey sender_key{};
  crypto::PublicKey receiver_key{};
  random_.fill(sender_key);
  random_.fill(receiver_key);
  add_peer(*sender_, receiver_key, b_, 0x0a01'0000U | (~session & 0xffffU));
  add_peer(*receiver_, sender_key, a_, 0x0a00'0000U | session);
  const std::uint32_t sender_index = noise::CoreTestAccess::draw_index(*sender_, receiver_key);
  const std::uint32_t receiver_index = noise::CoreTestAccess::draw_index(*receiver_, sender_key);

  noise::TransportKeys ours;
  random_.fill(ours.sending.fill());
  random_.fill(ours.receiving.fill());
  noise::TransportKeys theirs{.sending = ours.receiving.clone(), .receiving = ours.sending.clone()};
  noise::Keypair sending{std::move(ours), noise::no_peer, noise::Role::initiator, now_.boottime};
  sending.remote_index = receiver_index;
  noise::Keypair receiving{std::move(theirs), noise::no_peer, noise::Role::responder,
                           now_.boottime};
  receiving.remote_index = sender_index;
  noise::CoreTestAccess::begin(*sender_, receiver_key, std::move(sending));
  noise::CoreTestAccess::begin(*receiver_, sender_key, std::move(receiving));
}

void DevicePair::add_peer(noise::Device& device, const crypto::PublicKey& key,
                          const noise::SocketAddress& endpoint, std::uint32_t prefix) {
  noise::AllowedIpChange change{
      .kind = noise::AllowedIpChange::Kind::add,
      .prefix = {.address = {.family = noise::Family::v4, .bytes = {}}, .cidr = 32}};
  store_be32(change.prefix.address.bytes.data(), prefix);
  noise::PeerUpdate update;
  update.public_key = key;
  update.endpoint = endpoint;
  update.allowed_ips = {&change, 1};
  WG_ASSERT(device.apply_peer(update, now_, outbox_).has_value());
  WG_ASSERT(outbox_.empty());
}

}  // namespace wgring::bench

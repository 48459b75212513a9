#include "tests/sim/raw_peer.hpp"

#include "crypto/aead.hpp"
#include "noise/messages.hpp"

namespace wgring::sim {

RawPeer::RawPeer(World& world, Host& host, std::uint16_t tunnel_number)
    : entropy(tunnel_number),
      number(tunnel_number),
      world_(world),
      host_(host),
      next_index_(1000U * tunnel_number) {
  local.set(key_of(0x7261'7700ULL + tunnel_number));
  remote.set_public_key(host.public_key());
  address = {.ip = {.family = noise::Family::v4, .bytes = {}}, .port = 40'000, .scope_id = 0};
  address.ip.bytes[0] = 198;
  address.ip.bytes[1] = 51;
  store_be16(address.ip.bytes.data() + 2, tunnel_number);
}

void RawPeer::join(bool with_endpoint, const crypto::Secret<32>* preshared_key) {
  noise::PeerUpdate update;
  update.public_key = local.public_key();
  update.preshared_key = preshared_key;
  if (preshared_key != nullptr) {
    remote.preshared_key = preshared_key->clone();
  }
  if (with_endpoint) {
    update.endpoint = address;
  }
  const noise::AllowedIpChange prefixes[] = {{.prefix = tunnel_prefix(noise::Family::v4, number)},
                                             {.prefix = tunnel_prefix(noise::Family::v6, number)}};
  update.allowed_ips = prefixes;
  world_.apply(host_, update);
}

Datagram RawPeer::wrap(std::vector<std::uint8_t> bytes) const {
  Datagram datagram;
  datagram.from = address;
  datagram.to = host_.address(address.ip.family);
  datagram.bytes = std::move(bytes);
  datagram.genuine = false;
  return datagram;
}

std::uint32_t RawPeer::draw_index() { return index_ = next_index_++; }

Datagram RawPeer::initiation() {
  std::vector<std::uint8_t> bytes(noise::InitiationLayout::size);
  const bool made = handshake.create_initiation(
      fixed<noise::InitiationLayout::size>(MutableBytes{bytes}), draw_index(), local, remote,
      world_.now_of(host_).realtime, entropy.entropy());
  WG_ASSERT(made);
  cookies.add_macs(bytes, remote, world_.now());
  return wrap(std::move(bytes));
}

Datagram RawPeer::initiation_stamped(const noise::Timestamp& timestamp) {
  std::vector<std::uint8_t> bytes(noise::InitiationLayout::size);
  const bool made = handshake.create_initiation_stamped(
      fixed<noise::InitiationLayout::size>(MutableBytes{bytes}), draw_index(), local, remote,
      timestamp, entropy.entropy());
  WG_ASSERT(made);
  cookies.add_macs(bytes, remote, world_.now());
  return wrap(std::move(bytes));
}

std::optional<Datagram> RawPeer::response(const Datagram& initiation) {
  auto opened =
      noise::open_initiation(fixed<noise::InitiationLayout::size>(initiation.bytes), local);
  if (!opened || opened->initiator() != remote.public_key ||
      !handshake.accept_initiation(std::move(*opened), local, remote, world_.now())) {
    return std::nullopt;
  }
  std::vector<std::uint8_t> bytes(noise::ResponseLayout::size);
  if (!handshake.create_response(fixed<noise::ResponseLayout::size>(MutableBytes{bytes}),
                                 draw_index(), remote, entropy.entropy())) {
    return std::nullopt;
  }
  cookies.add_macs(bytes, remote, world_.now());
  session = {.keys = handshake.begin_session(),
             .local_index = index_,
             .remote_index = handshake.remote_index()};
  sending_counter = 0;
  return wrap(std::move(bytes));
}

bool RawPeer::consume(const Datagram& response) {
  if (!handshake.consume_response(fixed<noise::ResponseLayout::size>(response.bytes), local,
                                  remote)) {
    return false;
  }
  session = {.keys = handshake.begin_session(),
             .local_index = index_,
             .remote_index = handshake.remote_index()};
  sending_counter = 0;
  return true;
}

Datagram RawPeer::data(std::uint64_t counter, Bytes plain) const {
  std::vector<std::uint8_t> bytes(noise::DataLayout::overhead_bytes + plain.size());
  bytes[0] = static_cast<std::uint8_t>(noise::MessageType::data);
  store_le32(bytes.data() + noise::DataLayout::receiver_index, session.remote_index);
  store_le64(bytes.data() + noise::DataLayout::counter, counter);
  crypto::aead_seal(MutableBytes{bytes}.subspan(noise::DataLayout::sealed), plain, {},
                    session.keys.sending.view(), counter);
  return wrap(std::move(bytes));
}

std::vector<std::uint8_t> RawPeer::inner(std::uint32_t bytes) const {
  return make_inner({.number = inner_numbers_max - 1,
                     .family = noise::Family::v4,
                     .from = number,
                     .to = host_.number(),
                     .bytes = bytes,
                     .traffic_class = 0});
}

std::optional<std::vector<std::uint8_t>> RawPeer::open(const Datagram& data) const {
  if (!data.is_data() || data.receiver_index() != session.local_index) {
    return std::nullopt;
  }
  std::vector<std::uint8_t> plain(data.bytes.size() - noise::DataLayout::overhead_bytes);
  if (!crypto::aead_open(plain, Bytes{data.bytes}.subspan(noise::DataLayout::sealed), {},
                         session.keys.receiving.view(), data.counter())) {
    return std::nullopt;
  }
  return plain;
}

bool RawPeer::consume_cookie(const Datagram& reply) {
  return cookies.consume_reply(fixed<noise::CookieReplyLayout::size>(reply.bytes), remote,
                               world_.now());
}

void RawPeer::give(std::span<const Datagram> datagrams, bool as_trains) {
  world_.receive(host_, datagrams, as_trains);
  world_.serve_deadlines(host_);
}

void RawPeer::establish() {
  const std::size_t mark = sent_to(world_, address, 'R').size();
  give(initiation());
  const std::vector<Datagram> responses = sent_to(world_, address, 'R');
  WG_ASSERT(responses.size() == mark + 1);
  const bool done = consume(responses.back());
  WG_ASSERT(done);
  give(keepalive());
}

void RawPeer::restamp_macs(Datagram& message) {
  cookies.add_macs(message.bytes, remote, world_.now());
}

std::vector<Datagram> sent_to(const World& world, const noise::SocketAddress& address,
                              char letter) {
  std::vector<Datagram> found;
  for (const Datagram& datagram : world.log) {
    if (datagram.to == address && datagram.letter() == letter) {
      found.push_back(datagram);
    }
  }
  return found;
}

}  // namespace wgring::sim

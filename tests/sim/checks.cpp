#include "tests/sim/checks.hpp"

#include <algorithm>

#include "noise/constants.hpp"
#include "tests/sim/test_access.hpp"

namespace wgring::sim {
namespace {

constexpr std::size_t failures_max = 20;
constexpr std::uint8_t ecn_mask = 3;
constexpr std::uint8_t congestion_experienced = 3;

std::uint64_t sum(const noise::DropCounters& drops,
                  std::initializer_list<noise::Drop> reasons) noexcept {
  std::uint64_t total = 0;
  for (const noise::Drop reason : reasons) {
    total += drops[reason];
  }
  return total;
}

}  // namespace

std::uint64_t sender_drops(const noise::DropCounters& drops) noexcept {
  using enum noise::Drop;
  return sum(drops,
             {no_route, no_endpoint, staged_overflow, staged_abandoned, no_buffer, too_long});
}

std::uint64_t data_drops(const noise::DropCounters& drops) noexcept {
  using enum noise::Drop;
  return sum(drops, {unknown_index, expired_key, bad_tag, replayed, bad_inner, wrong_source});
}

void Checks::fail(const std::string& what) {
  if (failures.size() < failures_max) {
    const auto milliseconds = now.time_since_epoch().count() / 1'000'000;
    failures.push_back("at " + std::to_string(milliseconds) + " ms: " + what);
  }
}

void Checks::train(const Host& from, const noise::Transmit& train) {
  const std::string who{from.letter()};
  require(train.segment_count >= 1 && train.segment_count <= noise::train_segments_max,
          who + ": a train of " + std::to_string(train.segment_count) + " segments");
  require(train.bytes <= noise::train_bytes_max && train.bytes <= train.slot.bytes().size(),
          who + ": a train of " + std::to_string(train.bytes) + " bytes");
  const std::uint64_t full = std::uint64_t{train.stride_bytes} * train.segment_count;
  require(train.stride_bytes > 0 && train.bytes <= full && train.bytes + train.stride_bytes > full,
          who + ": a train whose segments do not add up");
  require(train.endpoint.remote.is_set(), who + ": a train to nowhere");
}

void Checks::nonce(const Host& from, const Datagram& datagram) {
  const std::uint64_t session = (std::uint64_t{from.position()} << 32) | datagram.receiver_index();
  const auto [at, is_new] = next_counter_.try_emplace(session, 0);
  require(datagram.counter() >= at->second,
          std::string{from.letter()} + ": counter " + std::to_string(datagram.counter()) +
              " after " + std::to_string(at->second) + ": a nonce twice or out of order");
  require(datagram.counter() < noise::reject_after_messages,
          std::string{from.letter()} + ": counter beyond the limit");
  at->second = datagram.counter() + 1;
}

void Checks::datagram(const Host& from, const Datagram& datagram) {
  const std::string who{from.letter()};
  require(!holds_marker(datagram.bytes), who + ": plain bytes on the wire");
  switch (datagram.type()) {
    case noise::MessageType::malformed:
      fail(who + ": sent a malformed datagram");
      return;
    case noise::MessageType::initiation:
    case noise::MessageType::response:
      require(datagram.traffic_class == noise::handshake_traffic_class,
              who + ": a handshake without AF41");
      return;
    case noise::MessageType::cookie_reply:
      require(datagram.traffic_class == 0, who + ": a cookie reply with a traffic class");
      return;
    case noise::MessageType::data:
      break;
  }
  nonce(from, datagram);
  require((datagram.traffic_class & ~ecn_mask) == 0, who + ": DSCP leaks");
  require((datagram.traffic_class & ecn_mask) != congestion_experienced, who + ": CE sent outside");
  const std::size_t inner = datagram.bytes.size() - noise::DataLayout::overhead_bytes;
  require(inner % noise::padding_multiple == 0 || inner == from.mtu ||
              inner > from.mtu,  // staged or read under a larger one: no padding helps there
          who + ": " + std::to_string(inner) + " bytes sealed at MTU " + std::to_string(from.mtu));
}

void Checks::content(const SentInner& line, Bytes packet) {
  InnerSpec spec = line.spec;
  const std::uint8_t arrived = traffic_class_of(packet);
  if (arrived != spec.traffic_class) {
    require((spec.traffic_class & ecn_mask) != 0 &&
                arrived == (spec.traffic_class | congestion_experienced),
            "inner traffic class changed by more than congestion");
    spec.traffic_class = arrived;
  }
  require(equal_public(packet, make_inner(spec)), "inner packet arrived with other bytes");
}

const SentInner* Checks::inner_delivered(const Host& at, Bytes packet) {
  const auto number = inner_number(packet);
  if (!number || *number >= ledger_.size()) {
    require(expects_foreign_inner, std::string{at.letter()} + ": delivered a packet nobody sent");
    return nullptr;
  }
  SentInner& line = ledger_[*number];
  const std::string who = std::string{at.letter()} + ": inner packet " + std::to_string(*number);
  require(!line.delivered, who + " delivered twice");
  require(line.to_host == at.position(), who + " delivered to the wrong host");
  line.delivered = true;
  content(line, packet);
  Flow& flow = flows_[flow_of(line)];
  if (order_is_kept) {
    require(!flow.seen || *number > flow.last_number, who + " overtook a later one");
  }
  flow.last_number = std::max(flow.last_number, *number);
  flow.seen = true;
  return &line;
}

void Checks::batch(const Host& at, const ArrivedBatch& batch,
                   std::span<const std::uint32_t> numbers) {
  if (!at.up) {
    require(batch.delivered == 0, std::string{at.letter()} + ": delivered while down");
    return;
  }
  std::size_t countable = batch.handshakes;
  std::vector<std::uint64_t> carriers;
  for (const Datagram& datagram : batch.datagrams) {
    if (datagram.from.is_set() && !datagram.from.answerable()) {
      continue;  // malformed, whatever it is
    }
    const bool counts = datagram.is_data() || datagram.type() == noise::MessageType::response;
    countable += counts ? 1U : 0U;
    if (datagram.is_data() && !datagram.is_keepalive()) {
      carriers.push_back(datagram.number);
    }
  }
  const std::uint64_t dropped = data_drops(at.device().drops()) - data_drops(batch.before);
  const std::uint64_t out = batch.delivered + dropped;
  require(out >= carriers.size() && out <= countable,
          std::string{at.letter()} + ": " + std::to_string(carriers.size()) + " packets came, " +
              std::to_string(batch.delivered) + " went out, " + std::to_string(dropped) +
              " were counted as dropped");
  // Which datagram carried which packet is known only when every one of them gave one.
  if (numbers.size() != carriers.size() || numbers.size() != batch.delivered) {
    return;
  }
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    flows_[flow_of(ledger_[numbers[i]])].by_datagram.emplace_back(carriers[i], numbers[i]);
  }
}

void Checks::balance(Host& host, std::uint32_t staged) {
  const std::uint64_t dropped = sender_drops(host.device().drops());
  require(host.totals.tun_packets == host.totals.data_sent + dropped + staged,
          std::string{host.letter()} + ": " + std::to_string(host.totals.tun_packets) +
              " packets came from the TUN, " + std::to_string(host.totals.data_sent) +
              " were sent, " + std::to_string(dropped) + " counted as dropped and " +
              std::to_string(staged) + " wait");
  require(host.slots_taken() == staged,
          std::string{host.letter()} + ": " + std::to_string(host.slots_taken()) +
              " slots are taken, " + std::to_string(staged) + " packets wait");
}

void Checks::nothing_is_left(Host& host) {
  const std::uint32_t indices = noise::CoreTestAccess::index_count(host.device());
  const std::uint32_t keypairs = noise::CoreTestAccess::keypair_count(host.device());
  require(indices == 0 && keypairs == 0, std::string{host.letter()} + ": its link is down, and " +
                                             std::to_string(indices) + " receiver indices and " +
                                             std::to_string(keypairs) + " keypairs are left");
}

void Checks::finish_flows() {
  for (auto& [key, flow] : flows_) {
    std::sort(flow.by_datagram.begin(), flow.by_datagram.end());
    for (std::size_t i = 1; i < flow.by_datagram.size(); ++i) {
      require(flow.by_datagram[i - 1].second < flow.by_datagram[i].second,
              "inner packet " + std::to_string(flow.by_datagram[i].second) +
                  " was sealed before an earlier one of its flow");
    }
  }
}

}  // namespace wgring::sim

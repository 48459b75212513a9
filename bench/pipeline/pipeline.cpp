#include "bench/pipeline/pipeline.hpp"

#include <algorithm>

namespace wgring::bench {
namespace {

// FNV-1a.
constexpr std::uint64_t hash_start = 0xcbf2'9ce4'8422'2325ULL;
constexpr std::uint64_t hash_prime = 0x100'0000'01b3ULL;

}  // namespace

Pipeline::Pipeline(const crypto::Aead& aead, const Load& load, std::uint32_t lanes)
    : pair_(aead, load.sessions, start_lanes(lanes)), tun_(load) {}

noise::JobRunner Pipeline::start_lanes(std::uint32_t lanes) {
  const tun::LanePolicy policy{.count = lanes, .only_when_busy = false};
  WG_ASSERT(lanes_.start(policy).has_value());
  return lanes_.runner();
}

void Pipeline::turn() { step(); }

void Pipeline::step() {
  const std::uint64_t before = totals_.packets;
  tun_.read([this](std::span<const noise::Plain> batch) {
    const Now now = pair_.tick();
    WG_ASSERT(pair_.sender().on_tun(batch, now, *sent_) == batch.size());
    carry(now);
    // As the shard asks before it sleeps.
    WG_ASSERT(pair_.sender().next_deadline().at > now.boottime);
    WG_ASSERT(pair_.receiver().next_deadline().at > now.boottime);
  });
  WG_ASSERT(totals_.packets - before == packets_per_turn());
}

std::uint64_t Pipeline::hash_of_turns(int turns) {
  hash_ = hash_start;
  hashing_ = true;
  for (int i = 0; i < turns; ++i) {
    tun_.refill();
    step();
  }
  hashing_ = false;
  return hash_;
}

// The network, with segmentation on the one side and its reverse on the other.
void Pipeline::carry(Now now) {
  std::size_t next = 0;
  while (next < sent_->transmits.size()) {
    std::size_t count = 0;
    for (; count < wilds_.size() && next < sent_->transmits.size(); ++count, ++next) {
      noise::Transmit& train = sent_->transmits[next];
      WG_ASSERT(train.endpoint.remote == pair_.receiver_address());
      if (hashing_) {
        mix(Bytes{train.slot.bytes()}.first(train.bytes));
      }
      wilds_[count] =
          noise::Wild{.slot = std::move(train.slot),
                      .bytes = train.bytes,
                      .stride_bytes = train.stride_bytes,
                      .source = pair_.sender_address(),
                      .destination = {.ip = pair_.receiver_address().ip, .interface_index = 2},
                      .ecn = static_cast<std::uint8_t>(train.traffic_class & 3U)};
      totals_.trains += 1;
    }
    pair_.receiver().on_udp(std::span{wilds_}.first(count), now, *received_);
    deliver();
  }
  sent_->clear();
}

void Pipeline::deliver() {
  for (const noise::Deliver& train : received_->delivers) {
    const MutableBytes bytes = train.slot.bytes();
    for (std::uint32_t i = 0; i < train.inner_count; ++i) {
      const noise::Inner& inner = received_->inners[train.first_inner + i];
      joiner_->add(bytes.subspan(inner.offset_bytes, inner.bytes));
    }
    joiner_->finish();
    for (std::size_t run = 0; run < joiner_->run_count(); ++run) {
      totals_.packets += joiner_->packet_count(run);
      totals_.runs += 1;
      joiner_->for_each_piece(run, [this](Bytes piece) {
        totals_.bytes += piece.size();
        if (hashing_) {
          mix(piece);
        }
      });
    }
    joiner_->clear();
  }
  received_->clear();
}

void Pipeline::mix(Bytes bytes) noexcept {
  for (const std::uint8_t byte : bytes) {
    hash_ = (hash_ ^ byte) * hash_prime;
  }
}

}  // namespace wgring::bench

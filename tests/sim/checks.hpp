// Checks: what must hold whatever happens. Every failure is kept as a sentence.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "tests/sim/host.hpp"
#include "tests/sim/inner.hpp"
#include "tests/sim/wire.hpp"

namespace wgring::sim {

inline constexpr std::size_t no_host = ~std::size_t{0};

// The ledger's line for one inner packet.
struct SentInner {
  InnerSpec spec;
  std::size_t from_host = no_host;
  std::size_t to_host = no_host;  // who owned the destination then; no_host: must never arrive
  bool delivered = false;
};

// What arrived in one on_udp call.
struct ArrivedBatch {
  std::span<const Datagram> datagrams;
  noise::DropCounters before;
  std::size_t delivered = 0;   // inner packets, ours and others'
  std::size_t handshakes = 0;  // that waited before: one may be counted as of unknown index
};

class Checks {
 public:
  // The number to write into the packet.
  [[nodiscard]] std::uint32_t next_number() const noexcept {
    return static_cast<std::uint32_t>(ledger_.size());
  }
  void inner_sent(const SentInner& line) { ledger_.push_back(line); }
  [[nodiscard]] const SentInner& line(std::uint32_t number) const { return ledger_[number]; }

  // A train as it left the core.
  void train(const Host& from, const noise::Transmit& train);
  // One datagram of it.
  void datagram(const Host& from, const Datagram& datagram);
  // One inner packet came out; returns its line, nullptr when it is none of ours.
  const SentInner* inner_delivered(const Host& at, Bytes packet);
  // All effects of one on_udp call: `numbers` of ours came out of it, in this order.
  void batch(const Host& at, const ArrivedBatch& batch, std::span<const std::uint32_t> numbers);
  // Between two calls, with so many packets staged: each one that came from the TUN was sent, is
  // counted as dropped or waits; what waits has a slot, and nothing else has.
  void balance(Host& host, std::uint32_t staged);
  // Of a host whose link is down: neither handshakes nor sessions.
  void nothing_is_left(Host& host);
  void finish_flows();

  void fail(const std::string& what);
  void require(bool condition, const std::string& what) {
    if (!condition) {
      fail(what);
    }
  }

  Instant now{};                       // for the sentences
  bool order_is_kept = true;           // false once the weather reordered: then by datagram only
  bool expects_foreign_inner = false;  // a test lets packets of other makers through
  std::vector<std::string> failures;

 private:
  using FlowKey = std::tuple<std::size_t, std::size_t, std::uint16_t, std::uint16_t, int>;
  struct Flow {
    std::uint32_t last_number = 0;
    bool seen = false;
    std::vector<std::pair<std::uint64_t, std::uint32_t>> by_datagram;
  };
  [[nodiscard]] static FlowKey flow_of(const SentInner& line) {
    return {line.from_host, line.to_host, line.spec.from, line.spec.to,
            static_cast<int>(line.spec.family)};
  }
  void content(const SentInner& line, Bytes packet);
  void nonce(const Host& from, const Datagram& datagram);

  std::vector<SentInner> ledger_;
  std::map<FlowKey, Flow> flows_;
  // Per sending host and receiver index: the least counter that may come next.
  std::unordered_map<std::uint64_t, std::uint64_t> next_counter_;
};

// Everything an inner packet can end as on its way to the wire, and on its way from it, while the
// link is up.
[[nodiscard]] std::uint64_t sender_drops(const noise::DropCounters& drops) noexcept;
[[nodiscard]] std::uint64_t data_drops(const noise::DropCounters& drops) noexcept;

}  // namespace wgring::sim

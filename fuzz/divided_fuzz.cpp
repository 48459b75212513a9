// Two devices in step, one of which divides the cipher work of every batch: into jobs as fine as
// the input says, which run in an order that is the input's too. What reads of a TUN become, and
// what arrives in batches and trains, has to be the same at both to the last byte, counter and
// deadline. Order and division are all that threads could bring to it, for jobs share nothing.
//
//   | threads | orders: length, bytes | records: | what | a few numbers | ...
#include <array>
#include <cstdio>
#include <memory>
#include <numeric>
#include <utility>

#include "fuzz/input.hpp"
#include "noise/constants.hpp"
#include "noise/jobs.hpp"
#include "tests/sim/raw_peer.hpp"
#include "tests/sim/super_packet.hpp"
#include "tests/sim/test_access.hpp"

namespace {

using wgring::Bytes;
using wgring::Duration;
using wgring::fuzz::Input;
using wgring::noise::CoreTestAccess;
using wgring::noise::Family;
using wgring::noise::JobRunner;
using wgring::noise::Jobs;
using wgring::sim::Datagram;
using wgring::sim::Host;
using wgring::sim::RawPeer;
using wgring::sim::TunRead;
using wgring::sim::World;

constexpr int records_max = 16;
constexpr std::size_t segments_max = 4'000;  // of all reads: what takes long
constexpr std::uint16_t first_peer = 77;
constexpr std::size_t peers = 2;

// The jobs of a set, each once, in an order of the input's.
class Runner {
 public:
  explicit Runner(Bytes orders) noexcept : orders_(orders) {}

  [[nodiscard]] JobRunner runner(std::uint32_t threads) noexcept {
    return {.context = this,
            .threads = threads,
            .worth = [](void*, std::size_t bytes) noexcept { return bytes > 0; },
            .run = [](void* self,
                      const Jobs& jobs) noexcept { static_cast<Runner*>(self)->run(jobs); }};
  }

 private:
  void run(const Jobs& jobs) noexcept {
    std::vector<std::size_t> order(jobs.count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (std::size_t left = order.size(); left > 1; --left) {
      std::swap(order[left - 1], order[choose() % left]);
    }
    for (const std::size_t index : order) {
      jobs.run(jobs.work, index);
    }
  }
  // Round and round; without any the last job comes first.
  std::size_t choose() noexcept { return orders_.empty() ? 0 : orders_[next_++ % orders_.size()]; }

  Bytes orders_;
  std::size_t next_ = 0;
};

// A device with two peers that have sessions with it.
class Side {
 public:
  explicit Side(const JobRunner& runner)
      : world_({.seed = 1, .keep_log = true, .runner = runner, .packet_slots = 512}),
        host_(world_.add_host()) {
    world_.checks.expects_foreign_inner = true;
    for (std::uint16_t i = 0; i < peers; ++i) {
      peers_[i] =
          std::make_unique<RawPeer>(world_, host_, static_cast<std::uint16_t>(first_peer + i));
      peers_[i]->join();
      peers_[i]->establish();
    }
    settle();
  }

  // `held` of the trains are elsewhere meanwhile.
  void read(std::span<const TunRead> reads, std::size_t held) {
    std::vector<wgring::Slot> slots;
    while (slots.size() < held && host_.trains().available() > 0) {
      slots.push_back(host_.trains().take());
    }
    world_.send_reads(host_, reads);
  }
  void receive(std::span<const Datagram> batch, bool as_trains) {
    world_.receive(host_, batch, as_trains);
    world_.serve_deadlines(host_);
  }
  void run_for(Duration duration) { world_.run_for(duration); }
  // So many nonces are left to the host under its session with the peer.
  void wear_out(std::size_t peer, std::uint64_t left) {
    const auto& at_host = CoreTestAccess::peer(host_.device(), peers_[peer]->local.public_key());
    auto* const keypair = CoreTestAccess::keypair(host_.device(), at_host.keypairs.current);
    const std::uint64_t counter = wgring::noise::reject_after_messages - left;
    if (keypair != nullptr && keypair->sending_counter < counter) {
      keypair->sending_counter = counter;
    }
  }

  void settle() {
    world_.log.clear();
    world_.foreign.clear();
    for (const std::string& failure : world_.checks.failures) {
      std::fprintf(stderr, "%s\n", failure.c_str());
    }
    WG_ASSERT(world_.checks.failures.empty());
  }
  void finish() {
    world_.set_link(host_, false);
    WG_ASSERT(world_.checks.failures.empty() && host_.slots_are_home());
  }

  [[nodiscard]] RawPeer& peer(std::size_t number) { return *peers_[number]; }
  [[nodiscard]] Host& host() { return host_; }
  [[nodiscard]] const World& world() const { return world_; }

 private:
  World world_;
  Host& host_;
  std::array<std::unique_ptr<RawPeer>, peers> peers_;
};

class Stage {
 public:
  Stage(std::uint32_t threads, Bytes orders) : runner_(orders), divided_(runner_.runner(threads)) {
    compare();
  }

  void record(Input& input) {
    const std::uint8_t what = input.byte();
    switch (what % 8) {
      case 0:
      case 1:
      case 2:
        read(input);
        break;
      case 3:
      case 4:
      case 5:
        receive(input);
        break;
      case 6: {
        const std::size_t peer = input.byte() % peers;
        const std::uint64_t left = 1U + input.byte();
        alone_.wear_out(peer, left);
        divided_.wear_out(peer, left);
        break;
      }
      default: {
        const Duration duration = input.number() * Duration{std::chrono::milliseconds{5}};
        alone_.run_for(duration);
        divided_.run_for(duration);
        break;
      }
    }
    compare();
    alone_.settle();
    divided_.settle();
  }
  void finish() {
    alone_.finish();
    divided_.finish();
    compare();
  }

 private:
  // --- from the TUN ---
  void read(Input& input) {
    const std::size_t held = input.byte() % 128U;
    std::vector<TunRead> reads;
    for (std::size_t kinds = 1U + input.byte() % 8U; kinds > 0 && !input.empty(); --kinds) {
      const TunRead one = any_read(input);
      std::size_t count = 1U + input.byte() % 16U;
      count = std::min(count, wgring::noise::plain_batch_max - reads.size());
      count = std::min(count, segments_left_ / segments(one));
      segments_left_ -= count * segments(one);
      reads.insert(reads.end(), count, one);
    }
    if (reads.empty()) {
      return;
    }
    alone_.read(reads, held < 64 ? 0 : held);
    divided_.read(reads, held < 64 ? 0 : held);
  }
  // At most.
  static std::size_t segments(const TunRead& one) {
    return one.offload.segment_bytes == 0 ? 1 : 1 + one.packet.size() / one.offload.segment_bytes;
  }
  TunRead any_read(Input& input) {
    const std::uint8_t how = input.byte();
    const auto to = static_cast<std::uint16_t>(first_peer + how % (peers + 1));
    const Family family = (how & 8U) == 0 ? Family::v4 : Family::v6;
    const bool tcp = (how & 16U) != 0;
    const std::uint16_t number = input.number();
    const std::uint16_t segment = input.number();
    if ((how & 32U) != 0) {
      // Beyond the length that fits both headers it is wrong, and refused at both.
      const auto size = static_cast<std::uint16_t>((how & 64U) != 0 ? 1360 : segment);
      return wgring::sim::super_packet(family, tcp, alone_.host().number(), to,
                                       1 + number % 65'400U, size);
    }
    TunRead read;
    const std::uint32_t least = wgring::sim::inner_bytes_min(family);
    read.packet = wgring::sim::make_inner({.number = wgring::sim::inner_numbers_max - 1,
                                           .family = family,
                                           .from = alone_.host().number(),
                                           .to = to,
                                           .bytes = least + number % 1500U,
                                           .traffic_class = static_cast<std::uint8_t>(segment)});
    if ((how & 128U) != 0) {  // any header at all
      const Bytes header = input.take(10);
      std::copy(header.begin(), header.end(), read.packet.begin());
      read.offload.flags = input.byte();
      read.offload.gso_type = input.byte();
      read.offload.segment_bytes = segment;
      read.offload.checksum_start = input.byte();
      read.offload.checksum_offset = input.byte();
    }
    return read;
  }

  // --- from the network ---
  void receive(Input& input) {
    const std::uint8_t how = input.byte();
    const bool as_trains = (how & 1U) != 0;
    const std::size_t room = as_trains ? 320 : wgring::noise::wild_batch_max;
    std::vector<Datagram> batch;
    for (std::size_t runs = 1U + how / 2U % 16U; runs > 0 && !input.empty(); --runs) {
      const std::size_t count = 1U + input.byte() % (as_trains ? 40U : 6U);
      add_run(input, std::min(count, room - batch.size()), batch);
    }
    if (!batch.empty()) {
      alone_.receive(batch, as_trains);
      divided_.receive(batch, as_trains);
    }
  }
  // The peers of both sides have the same keys and say the same.
  void add_run(Input& input, std::size_t count, std::vector<Datagram>& batch) {
    const std::uint8_t how = input.byte();
    const std::size_t speaker = how % peers;
    const std::uint8_t jump = input.byte();
    const std::uint32_t bytes = 20U + input.number() % 1440U;
    std::uint64_t& counter = counters_[speaker];
    counter = (how & 4U) != 0 ? counter - std::min<std::uint64_t>(counter, jump) : counter + 1;
    counter = (how & 8U) != 0 ? counter + (std::uint64_t{jump} << (jump % 48U)) : counter;
    counter = (how & 16U) != 0 ? wgring::noise::reject_after_messages - 1 - jump : counter;
    RawPeer& raw = alone_.peer(speaker);
    for (std::size_t i = 0; i < count; ++i) {
      Datagram datagram = raw.data(counter, (how & 32U) != 0 ? Bytes{} : Bytes{raw.inner(bytes)});
      counter += (how & 2U) != 0 ? 1U : 0U;
      if ((how & 64U) != 0) {
        const std::uint8_t mask = input.byte();
        datagram.bytes[input.number() % datagram.bytes.size()] ^= mask;
      }
      datagram.from.port = static_cast<std::uint16_t>(datagram.from.port + how / 128U);
      datagram.traffic_class = how / 128U;
      batch.push_back(std::move(datagram));
    }
  }

  void compare() {
    const World& one = alone_.world();
    const World& other = divided_.world();
    WG_ASSERT(one.digest == other.digest);
    WG_ASSERT(one.foreign == other.foreign);
    WG_ASSERT(one.log.size() == other.log.size());
    for (std::size_t i = 0; i < one.log.size(); ++i) {
      WG_ASSERT(one.log[i].bytes == other.log[i].bytes && one.log[i].to == other.log[i].to);
    }
    const auto& a = alone_.host().device();
    const auto& b = divided_.host().device();
    WG_ASSERT(a.drops().packets == b.drops().packets);
    WG_ASSERT(a.next_deadline().at == b.next_deadline().at);
    wgring::noise::PeerStatus first;
    wgring::noise::PeerStatus second;
    for (std::uint64_t after = 0; a.next_peer(after, first); after = first.serial) {
      WG_ASSERT(b.next_peer(after, second));
      WG_ASSERT(first.rx_bytes == second.rx_bytes && first.tx_bytes == second.tx_bytes);
      WG_ASSERT(first.endpoint == second.endpoint);
    }
    WG_ASSERT(alone_.host().trains().available() == divided_.host().trains().available());
  }

  Side alone_{JobRunner{}};
  Runner runner_;
  Side divided_;
  std::array<std::uint64_t, peers> counters_{};
  std::size_t segments_left_ = segments_max;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::uint32_t threads = 1U + input.byte() % 64U;
  const Bytes orders = input.take(input.byte());
  Stage stage(threads, orders);
  wgring::fuzz::run_records(input, stage, records_max);
  stage.finish();
  return 0;
}

// A turn whose cipher work is divided does exactly what it does undivided: the same bytes to the
// same places in the same order, the same counters and the same deadlines.
#include <array>

#include <gtest/gtest.h>

#include "tests/sim/pair.hpp"
#include "tests/sim/raw_peer.hpp"
#include "tests/sim/scenario.hpp"
#include "tests/sim/shuffled_runner.hpp"
#include "tests/sim/super_packet.hpp"

namespace wgring::sim {
namespace {

using noise::CoreTestAccess;
using noise::Drop;
using noise::Family;

// What a run of a play leaves behind, step by step.
struct Trace {
  std::vector<std::uint64_t> steps;
  std::uint64_t delivered = 0;
  noise::DropCounters drops;  // of all hosts
};

class Play {
 public:
  Play(std::uint64_t seed, noise::JobRunner runner)
      : random_(seed), world_({.seed = seed, .keep_log = false, .runner = runner}) {
    world_.checks.expects_foreign_inner = true;
    for (int i = 0; i < 4; ++i) {
      world_.add_host();
    }
    for (std::size_t on = 0; on < 4; ++on) {
      for (std::size_t peer = 0; peer < 4; ++peer) {
        if (on != peer) {
          world_.add_peer(world_.host(on), world_.host(peer));
        }
      }
    }
  }

  Trace run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      note();
    }
    for (std::size_t i = 0; i < world_.host_count(); ++i) {
      trace_.delivered += world_.host(i).totals.delivered;
      const noise::DropCounters& drops = world_.host(i).device().drops();
      for (std::size_t drop = 0; drop < noise::drop_count; ++drop) {
        trace_.drops.packets[drop] += drops.packets[drop];
      }
    }
    return trace_;
  }

 private:
  [[nodiscard]] Host& any_host() { return world_.host(random_.below(world_.host_count())); }

  TunRead any_read(const Host& from) {
    const auto to = static_cast<std::uint16_t>(1 + random_.below(world_.host_count() + 1));
    const Family family = random_.chance(500) ? Family::v4 : Family::v6;
    const std::uint64_t kind = random_.below(100);
    if (kind < 25) {
      const auto segment = static_cast<std::uint16_t>(
          random_.chance(700) ? 1360 : random_.between(random_.chance(300) ? 1 : 40, 9000));
      const std::uint64_t most = std::min<std::uint64_t>(65'000, std::uint64_t{segment} * 300);
      return super_packet(family, random_.chance(700), from.number(), to, random_.between(1, most),
                          segment);
    }
    if (kind < 35) {
      return super_packet(family, random_.chance(500), from.number(), to, random_.between(1, 1300),
                          0);
    }
    TunRead read;
    const auto bytes = static_cast<std::uint32_t>(
        random_.chance(500) ? 1420 : random_.between(inner_bytes_min(family), 1420));
    read.packet = make_inner({.number = inner_numbers_max - 1,
                              .family = family,
                              .from = from.number(),
                              .to = to,
                              .bytes = bytes,
                              .traffic_class = static_cast<std::uint8_t>(random_.below(256))});
    if (kind == 99) {
      read.packet[0] = 0;
    }
    return read;
  }

  void traffic() {
    Host& from = any_host();
    // Reads of one flow come in runs.
    std::vector<TunRead> reads(random_.between(1, random_.chance(300) ? 64 : 8));
    for (std::size_t i = 0; i < reads.size(); ++i) {
      reads[i] = i > 0 && random_.chance(600) ? reads[i - 1] : any_read(from);
    }
    std::vector<Slot> held;  // trains that are elsewhere
    if (random_.chance(150)) {
      for (std::uint64_t left = random_.below(8); from.trains().available() > left;) {
        held.push_back(from.trains().take());
      }
    }
    world_.send_reads(from, reads);
  }

  // Some session of some host has sent almost all that it may.
  void wear_out() {
    Host& host = any_host();
    const Host& other = any_host();
    if (&host == &other) {
      return;
    }
    noise::Peer& peer = CoreTestAccess::peer(host.device(), other.public_key());
    if (auto* const keypair = CoreTestAccess::keypair(host.device(), peer.keypairs.current)) {
      keypair->sending_counter = std::max(keypair->sending_counter,
                                          noise::reject_after_messages - random_.between(1, 200));
    }
  }

  void weather() {
    world_.network.weather = {
        .loss_per_mille = static_cast<std::uint32_t>(random_.below(2) * random_.below(100)),
        .duplicate_per_mille = static_cast<std::uint32_t>(random_.below(2) * random_.below(200)),
        .corrupt_per_mille = static_cast<std::uint32_t>(random_.below(2) * random_.below(200)),
        .congestion_per_mille = static_cast<std::uint32_t>(random_.below(2) * random_.below(500)),
        .delay_min = Duration{0},
        .delay_max = random_.below(3) * Duration{2ms},
        .keep_order = random_.chance(500)};
    world_.join_arrivals = random_.chance(800);
  }

  void step() {
    const std::uint64_t what = random_.below(100);
    if (what < 80) {
      traffic();
    } else if (what < 90) {
      weather();
    } else if (what < 95) {
      wear_out();
    } else {
      world_.run_for(random_.between(Duration{10s}, Duration{200s}));
    }
    // A whole number of milliseconds, so that arrivals share an instant.
    world_.run_for(Duration{1ms} * random_.below(30));
  }

  void note() {
    std::uint64_t state = world_.digest;
    const auto mix = [&](std::uint64_t value) { state = (state ^ value) * 0x100'0000'01b3ULL; };
    for (std::size_t i = 0; i < world_.host_count(); ++i) {
      const noise::Device& device = world_.host(i).device();
      mix(static_cast<std::uint64_t>(device.next_deadline().at.time_since_epoch().count()));
      for (const std::uint64_t drop : device.drops().packets) {
        mix(drop);
      }
      noise::PeerStatus peer;
      for (std::uint64_t after = 0; device.next_peer(after, peer); after = peer.serial) {
        mix(peer.rx_bytes);
        mix(peer.tx_bytes);
        mix(peer.endpoint.remote.port);
      }
      mix(world_.host(i).trains().available());
    }
    trace_.steps.push_back(state);
  }

  Random random_;
  World world_;
  Trace trace_;
};

TEST(Divided, APlayIsTheSameToTheLastByte) {
  constexpr int steps = 120;
  ShuffledRunner shuffled(5);
  noise::DropCounters drops;
  std::uint64_t delivered = 0;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    const Trace alone = Play(seed, {}).run(steps);
    const auto threads = static_cast<std::uint32_t>(1 + seed % 8);
    const Trace divided = Play(seed, shuffled.runner(threads)).run(steps);
    for (std::size_t i = 0; i < alone.steps.size(); ++i) {
      ASSERT_EQ(alone.steps[i], divided.steps[i]) << "seed " << seed << " step " << i;
    }
    delivered += alone.delivered;
    for (std::size_t drop = 0; drop < noise::drop_count; ++drop) {
      drops.packets[drop] += alone.drops.packets[drop];
    }
  }
  // The play was about something.
  EXPECT_GT(shuffled.batches, 1000U);
  EXPECT_GT(shuffled.jobs_run, 5 * shuffled.batches);
  EXPECT_GT(delivered, 50'000U);
  for (const Drop drop : {Drop::bad_tag, Drop::replayed, Drop::no_buffer, Drop::no_route,
                          Drop::bad_inner, Drop::unknown_index, Drop::staged_overflow}) {
    EXPECT_GT(drops[drop], 0U) << noise::drop_name(drop);
  }
}

TEST(Divided, ScenariosAreTheSameToTheLastByte) {
  ShuffledRunner shuffled(6);
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    const ScenarioResult alone = Scenario({.seed = seed, .steps = 50}).run();
    const ScenarioResult divided =
        Scenario({.seed = seed, .steps = 50, .runner = shuffled.runner(4)}).run();
    EXPECT_TRUE(divided.failures.empty()) << "seed " << seed << ": " << divided.failures.front();
    ASSERT_EQ(alone.digest, divided.digest) << "seed " << seed;
  }
  EXPECT_GT(shuffled.batches, 100U);
}

// What an earlier packet of the batch does to a session holds for the later ones, which were opened
// before that.
TEST(Divided, ALimitReachedInsideABatchIsALimitForTheRest) {
  ShuffledRunner shuffled(7);
  World world({.seed = 3, .runner = shuffled.runner(4)});
  world.checks.expects_foreign_inner = true;
  Host& host = world.add_host();
  RawPeer raw(world, host, 77);
  raw.join();
  raw.establish();
  const std::vector<std::uint8_t> inner = raw.inner(1400);
  std::vector<Datagram> batch(12, raw.data(inner));  // the first of them is new
  batch.push_back(raw.data(noise::reject_after_messages - 1, inner));
  const std::size_t before = batch.size();
  batch.resize(before + 12, raw.data(inner));
  raw.give(batch);
  EXPECT_EQ(shuffled.batches, 1U);
  EXPECT_EQ(world.foreign.size(), 2U);
  const noise::DropCounters& drops = host.device().drops();
  EXPECT_EQ(drops[Drop::replayed], 11U);
  EXPECT_EQ(drops[Drop::expired_key], 12U);
}

// More parts than a batch has room for: what is in it is sealed, and the rest begins another.
TEST(Divided, SuperPacketsOfMorePartsThanABatchHoldsAreAllSealed) {
  ShuffledRunner shuffled(8);
  World world({.seed = 4, .runner = shuffled.runner(64)});  // so many that it is cut very fine
  world.checks.expects_foreign_inner = true;
  Host& host = world.add_host();
  RawPeer raw(world, host, 77);
  raw.join();
  raw.establish();
  constexpr std::size_t supers = 21;
  constexpr std::size_t segments = 48;  // all together fewer than a batch holds
  const std::vector<TunRead> reads(
      supers, super_packet(Family::v4, true, host.number(), raw.number, segments * 1360, 1360));
  world.send_reads(host, reads);
  EXPECT_EQ(shuffled.batches, 2U);
  const std::vector<Datagram> sent = sent_to(world, raw.address, 'D');
  EXPECT_EQ(sent.size() + host.device().drops()[Drop::no_buffer], supers * segments);
  EXPECT_GT(sent.size(), supers);
  for (const Datagram& datagram : sent) {
    ASSERT_TRUE(raw.open(datagram));
  }
}

}  // namespace
}  // namespace wgring::sim

// A handshake, message by message and role by role, each as the core calls it: with its macs.
#include <memory>
#include <optional>

#include "bench/support/stage.hpp"
#include "noise/cookie.hpp"
#include "noise/handshake.hpp"
#include "tests/sim/random.hpp"

namespace wgring::bench {
namespace {

using noise::InitiationLayout;
using noise::ResponseLayout;

constexpr Instant start = Instant{std::chrono::hours{1}};
constexpr WallTime wall_start = WallTime{std::chrono::seconds{1'700'000'000}};

struct Party {
  noise::LocalIdentity local;
  noise::RemoteIdentity remote;
  noise::CookieJar jar;
  std::optional<noise::Handshake> slot{std::in_place};
};

// Two that know each other; the first one initiates.
class Parties {
 public:
  Parties() {
    sim::Random random(seed);
    for (Party* const party : {&a, &b}) {
      crypto::Secret<32> key;
      random.fill(key.fill());
      party->local.set(key);
    }
    a.remote.set_public_key(b.local.public_key());
    b.remote.set_public_key(a.local.public_key());
    // The one that is computed once per peer and not per handshake.
    WG_ASSERT(a.remote.static_static(a.local) != nullptr);
    WG_ASSERT(b.remote.static_static(b.local) != nullptr);
  }

  void create_initiation() {
    wall += std::chrono::seconds{1};
    WG_ASSERT(a.slot->create_initiation(initiation, 1, a.local, a.remote, wall, source()));
    a.jar.add_macs(initiation, a.remote, start);
  }
  void consume_initiation() {
    WG_ASSERT(noise::mac1_valid(initiation, b.local));
    auto opened = noise::open_initiation(initiation, b.local);
    WG_ASSERT(opened.has_value());
    WG_ASSERT(b.slot->accept_initiation(std::move(*opened), b.local, b.remote, start));
  }
  void create_response() {
    WG_ASSERT(b.slot->create_response(response, 2, b.remote, source()));
    b.jar.add_macs(response, b.remote, start);
  }
  void consume_response() {
    WG_ASSERT(noise::mac1_valid(response, a.local));
    WG_ASSERT(a.slot->consume_response(response, a.local, a.remote));
  }
  void begin_sessions() {
    const noise::TransportKeys ours = a.slot->begin_session();
    const noise::TransportKeys theirs = b.slot->begin_session();
    WG_ASSERT(crypto::ct_equal(ours.sending.view(), theirs.receiving.view()));
  }
  // A slot that has seen nothing: any initiation is good again.
  static void forget(Party& party) { party.slot.emplace(); }

  Party a;
  Party b;

 private:
  [[nodiscard]] noise::Entropy source() noexcept { return entropy_.entropy(); }

  sim::SeededEntropy entropy_{seed};
  WallTime wall = wall_start;
  ByteArray<InitiationLayout::size> initiation{};
  ByteArray<ResponseLayout::size> response{};
};

void create_initiation(benchmark::State& state) {
  Parties parties;
  measure(state, {}, [&] { parties.create_initiation(); });
}

void consume_initiation(benchmark::State& state) {
  Parties parties;
  parties.create_initiation();
  measure_prepared(
      state, {}, [&] { Parties::forget(parties.b); }, [&] { parties.consume_initiation(); });
}

void create_response(benchmark::State& state) {
  Parties parties;
  parties.create_initiation();
  measure_prepared(
      state, {},
      [&] {
        Parties::forget(parties.b);
        parties.consume_initiation();
      },
      [&] { parties.create_response(); });
}

void consume_response(benchmark::State& state) {
  Parties parties;
  measure_prepared(
      state, {},
      [&] {
        Parties::forget(parties.b);
        parties.create_initiation();
        parties.consume_initiation();
        parties.create_response();
      },
      [&] { parties.consume_response(); });
}

void whole(benchmark::State& state) {
  Parties parties;
  measure(state, {}, [&] {
    Parties::forget(parties.b);
    parties.create_initiation();
    parties.consume_initiation();
    parties.create_response();
    parties.consume_response();
    parties.begin_sessions();
  });
}

// What a flood of initiations by strangers costs each: mac1 and no more.
void refuse_mac1(benchmark::State& state) {
  Parties parties;
  const ByteArray<InitiationLayout::size> forged{1};
  measure(state, {}, [&] {
    bool valid = noise::mac1_valid(forged, parties.b.local);
    benchmark::DoNotOptimize(valid);
  });
}

}  // namespace

void add_benchmarks() {
  add("initiator/create_initiation", create_initiation);
  add("responder/consume_initiation", consume_initiation);
  add("responder/create_response", create_response);
  add("initiator/consume_response", consume_response);
  add("both/whole_handshake", whole);
  add("responder/refuse_mac1", refuse_mac1);
}

}  // namespace wgring::bench

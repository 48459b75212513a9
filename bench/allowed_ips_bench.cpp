// Allowed-IPs: longest-prefix lookups in tables of 10, 1k and 100k random prefixes.
#include <memory>
#include <vector>

#include "bench/support/stage.hpp"
#include "noise/allowed_ips.hpp"
#include "tests/sim/random.hpp"
#include "tun/memory_source.hpp"

namespace wgring::bench {
namespace {

constexpr std::size_t lookups = 1024;
constexpr std::uint32_t peers = 1000;

// As in a cluster: v4 /24 to /32, v6 /48 to /128, all over the address space.
noise::Prefix random_prefix(sim::Random& random, noise::Family family) {
  noise::Prefix prefix;
  prefix.address.family = family;
  const bool v4 = family == noise::Family::v4;
  random.fill(MutableBytes{prefix.address.bytes}.first(v4 ? 4 : 16));
  prefix.cidr = static_cast<std::uint8_t>(v4 ? random.between(24, 32) : random.between(48, 128));
  return prefix;
}

struct Table {
  explicit Table(noise::Family of, std::uint32_t prefixes) : family(of) {
    sim::Random random(seed);
    WG_ASSERT(ips.open(memory.source(), prefixes, peers));
    WG_ASSERT(ips.ensure(prefixes, peers - 1));
    std::vector<noise::Prefix> known(prefixes);
    for (noise::Prefix& prefix : known) {
      prefix = random_prefix(random, family);
      WG_ASSERT(ips.insert(prefix, static_cast<noise::PeerId>(random.below(peers))));
    }
    for (ByteArray<16>& address : addresses) {
      address = known[random.below(prefixes)].address.bytes;
    }
  }

  noise::Family family;
  tun::SystemMemory memory;
  noise::AllowedIps ips;
  std::vector<ByteArray<16>> addresses = std::vector<ByteArray<16>>(lookups);
};

enum class Which : std::uint8_t { all_over, one };

void find(benchmark::State& state, noise::Family family, std::uint32_t prefixes, Which which) {
  const auto table = std::make_unique<Table>(family, prefixes);
  if (which == Which::one) {
    table->addresses.assign(lookups, table->addresses[0]);
  }
  const bool v4 = family == noise::Family::v4;
  measure(state, {.items = lookups}, [&] {
    for (const ByteArray<16>& address : table->addresses) {
      noise::PeerId peer =
          v4 ? table->ips.find_v4(address.data()) : table->ips.find_v6(address.data());
      benchmark::DoNotOptimize(peer);
    }
  });
}

}  // namespace

void add_benchmarks() {
  for (const noise::Family family : {noise::Family::v4, noise::Family::v6}) {
    for (const std::uint32_t prefixes : {10U, 1000U, 100'000U}) {
      for (const Which which : {Which::all_over, Which::one}) {
        const std::string name = std::string(family == noise::Family::v4 ? "v4" : "v6") +
                                 (which == Which::one ? "/one_address/" : "/all_over/") +
                                 std::to_string(prefixes);
        add("allowed_ips/" + name,
            [=](benchmark::State& state) { find(state, family, prefixes, which); });
      }
    }
  }
}

}  // namespace wgring::bench

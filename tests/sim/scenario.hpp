// Scenario: a world that a seed shakes: traffic, weather, configuration, clocks. At its end the
// weather is fine, everybody is configured, and every live pair must speak again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/world.hpp"

namespace wgring::sim {

struct ScenarioOptions {
  std::uint64_t seed = 1;
  int steps = 150;
  Bytes choices{};  // of the scenario, instead of the seed's as far as they go; a loan
  noise::JobRunner runner{};
};

struct ScenarioResult {
  std::vector<std::string> failures;
  std::uint64_t datagrams = 0;
  std::uint64_t delivered = 0;
  std::uint64_t handshakes = 0;
  Duration elapsed{};
  std::uint64_t digest = 0;
};

class Scenario {
 public:
  explicit Scenario(const ScenarioOptions& options);
  [[nodiscard]] ScenarioResult run();

 private:
  using Action = void (Scenario::*)();
  struct Weighted {
    std::uint32_t weight;
    Action action;
  };
  static const Weighted actions[];

  void build();
  void step();
  void heal();
  void expect_recovery();
  void expect_silence();

  // --- actions ---
  void traffic();
  void weather();
  void clog();
  void rebind();
  void toggle_peer();
  void preshared_key();
  void private_key();
  void endpoint();
  void keepalive();
  void move_prefix();
  void toggle_link();
  void mtu();
  void wall_clock();
  void early_deadline();
  void garbage();
  void replay();
  void forget_sources();
  void entropy();
  void lateness();
  void mend();  // a pair as it should be: else the world decays

  [[nodiscard]] Host& any_host() { return world_.host(random_.below(world_.host_count())); }
  [[nodiscard]] Host& other_than(const Host& host);
  // The key under which `on` knows `peer`; none: not configured.
  [[nodiscard]] std::optional<crypto::PublicKey>& known(const Host& on, const Host& peer) {
    return known_[on.position() * world_.host_count() + peer.position()];
  }
  [[nodiscard]] bool knows(const Host& on, const Host& peer) {
    return known(on, peer) == peer.public_key();
  }
  void add(Host& on, const Host& peer, noise::Family endpoint);
  void remove(Host& on, const Host& peer);
  [[nodiscard]] InnerSpec random_packet(const Host& from, const Host& to);
  void send_super(Host& from, const Host& to);
  template <typename Visit>
  void for_each_pair(Visit&& visit);

  ScenarioOptions options_;
  Random random_;
  World world_;
  bool may_reorder_ = false;  // of this seed: else the strict check of order stays on
  std::vector<std::optional<crypto::PublicKey>> known_;
  std::vector<crypto::Secret<32>> preshared_keys_;  // as the pair should have it at the end
  std::uint64_t next_key_ = 0;
  std::vector<Datagram> heard_;  // a few of the wire, for replays
};

}  // namespace wgring::sim

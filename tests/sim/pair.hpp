// Pair: two hosts that know each other, on a link of one millisecond; the fixture of most tests.
#pragma once

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "noise/constants.hpp"
#include "tests/sim/test_access.hpp"
#include "tests/sim/world.hpp"

namespace wgring::sim {

using namespace std::chrono_literals;

// For times that jitter moves: the retry and the 15 s timer are late by less than a third of 1 s.
inline constexpr Duration jitter_max = noise::rekey_timeout_jitter_max;
inline constexpr Duration latency = 1ms;

class PairOf : public testing::Test {
 protected:
  explicit PairOf(std::uint64_t seed) : world({.seed = seed}) {
    world.network.weather.delay_min = latency;
    world.network.weather.delay_max = latency;
  }
  void connect() {
    world.add_peer(a, b);
    world.add_peer(b, a);
  }
  void TearDown() override {
    world.finish();
    EXPECT_THAT(world.checks.failures, testing::IsEmpty());
  }

  // `count` inner packets of `bytes`, one on_tun call each.
  void send(Host& from, const Host& to, int count = 1, std::uint32_t bytes = 96) {
    for (int i = 0; i < count; ++i) {
      world.send(from, {.to = to.number(), .bytes = bytes});
    }
  }
  void run_for(Duration duration) { world.run_for(duration); }
  // A session that `a` initiated, confirmed by one packet; then everything has fallen silent.
  void establish() {
    send(a, b);
    run_for(established_age);
    ASSERT_EQ(wire(), "aI bR aD bK");
    forget();
  }
  static constexpr Duration established_age = 11s;  // of that session then; 2 ms less for birth

  // What was sent since forget(), lost or not: "aI bR aD" and so on.
  [[nodiscard]] std::string wire() const {
    std::string text;
    for (const Datagram& datagram : world.log) {
      text += text.empty() ? "" : " ";
      text += static_cast<char>('a' + datagram.from_host);
      text += datagram.letter();
    }
    return text;
  }
  void forget() {
    world.log.clear();
    mark = world.elapsed();
  }
  [[nodiscard]] std::vector<Datagram> sent(const Host& from, char letter) const {
    std::vector<Datagram> found;
    for (const Datagram& datagram : world.log) {
      if (datagram.from_host == from.position() && datagram.letter() == letter) {
        found.push_back(datagram);
      }
    }
    return found;
  }
  [[nodiscard]] std::size_t count(const Host& from, char letter) const {
    return sent(from, letter).size();
  }
  // When they were sent, since forget().
  [[nodiscard]] std::vector<Duration> times(const Host& from, char letter) const {
    std::vector<Duration> at;
    for (const Datagram& datagram : sent(from, letter)) {
      at.push_back(datagram.at - World::start - mark);
    }
    return at;
  }
  [[nodiscard]] std::uint64_t drops(const Host& host, noise::Drop reason) const {
    return host.device().drops()[reason];
  }
  [[nodiscard]] noise::PeerStatus status(const Host& host, std::uint64_t after = 0) const {
    noise::PeerStatus found;
    EXPECT_TRUE(host.device().next_peer(after, found));
    return found;
  }
  // Internals of `host` about the other one.
  [[nodiscard]] noise::Peer& peer(Host& host) const {
    return noise::CoreTestAccess::peer(host.device(), (host.position() == 0 ? b : a).public_key());
  }
  [[nodiscard]] noise::Keypair* current(Host& host) const {
    return noise::CoreTestAccess::keypair(host.device(), peer(host).keypairs.current);
  }
  [[nodiscard]] bool pending(Host& host, noise::Timer timer) const {
    return peer(host).timers.pending(timer);
  }
  // How long until it fires.
  [[nodiscard]] Duration due_in(Host& host, noise::Timer timer) const {
    return peer(host).timers.at(timer) - world.now();
  }
  // The link takes everything, or what the condition says, from now on.
  void cut() {
    world.network.filter = [](const Datagram&) { return false; };
  }
  void cut_from(const Host& from) {
    world.network.filter = [position = from.position()](const Datagram& datagram) {
      return datagram.from_host != position;
    };
  }
  void cut_letter(char letter) {
    world.network.filter = [letter](const Datagram& datagram) {
      return datagram.letter() != letter;
    };
  }
  void heal() { world.network.filter = nullptr; }
  [[nodiscard]] bool is_idle(const Host& host) const {
    return host.device().next_deadline().at == never;
  }

  World world;
  Host& a = world.add_host();
  Host& b = world.add_host();
  Duration mark{};  // elapsed() at the last forget()
};

class Pair : public PairOf {
 protected:
  Pair() : PairOf(1) { connect(); }
};

MATCHER_P2(IsWithin, low, high, "") {
  const Duration first{low};
  const Duration last{high};
  *result_listener << std::chrono::duration<double>(arg).count() << " s";
  return arg >= first && arg <= last;
}

}  // namespace wgring::sim

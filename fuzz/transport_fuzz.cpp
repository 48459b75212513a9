// A peer that has the keys and says what it likes: plaintexts and counters are the fuzzer's, and it
// encrypts them. What comes out is foretold by a model of few lines.
//
//   records: | what | how the counter is chosen | fault's place and mask | plaintext |
#include <algorithm>
#include <set>

#include "fuzz/input.hpp"
#include "noise/constants.hpp"
#include "tests/sim/raw_peer.hpp"

namespace {

using wgring::Bytes;
using wgring::fuzz::Input;
using wgring::noise::Family;
using wgring::sim::Datagram;
using wgring::sim::Host;
using wgring::sim::RawPeer;
using wgring::sim::World;
using Packet = std::vector<std::uint8_t>;

constexpr int records_max = 48;
constexpr std::size_t plain_max = 256;
constexpr std::uint64_t window = 8128;

// RFC 6479 by its words: newer than all, or not older than the window and not seen. With the last
// counter of a key the key ends (protocol section 12): nothing is accepted behind it.
class Counters {
 public:
  [[nodiscard]] bool accept(std::uint64_t counter) {
    if (counter >= wgring::noise::reject_after_messages || seen_.contains(last)) {
      return false;
    }
    const bool in_time =
        seen_.empty() || counter > *seen_.rbegin() || *seen_.rbegin() - counter <= window;
    return in_time && seen_.insert(counter).second;
  }
  void clear() { seen_.clear(); }

 private:
  static constexpr std::uint64_t last = wgring::noise::reject_after_messages - 1;

  std::set<std::uint64_t> seen_;
};

// The packet in a plaintext, if it is one from the peer's own addresses; else nothing.
Packet foretold(Bytes plain, std::uint16_t number) {
  std::size_t length = 0;
  Family family = Family::none;
  std::size_t source = 0;
  if (plain.size() >= 20 && plain[0] / 16 == 4) {
    family = Family::v4;
    source = 12;
    length = std::size_t{plain[2]} * 256 + plain[3];
    const std::size_t header = std::size_t{plain[0]} % 16 * 4;
    if (header < 20 || header > length) {
      return {};
    }
  } else if (plain.size() >= 40 && plain[0] / 16 == 6) {
    family = Family::v6;
    source = 8;
    length = 40 + std::size_t{plain[4]} * 256 + plain[5];
  } else {
    return {};
  }
  const auto address = wgring::sim::tunnel_address(family, number);
  const Bytes owned = address.significant();
  if (length > plain.size() || !std::ranges::equal(plain.subspan(source, owned.size()), owned)) {
    return {};
  }
  return {plain.begin(), plain.begin() + static_cast<std::ptrdiff_t>(length)};
}

class Stage {
 public:
  Stage() : host_(world_.add_host()), raw_(world_, host_, 77) {
    world_.checks.expects_foreign_inner = true;
    raw_.join();
    begin_session();
  }

  void record(Input& input) {
    const std::uint8_t what = input.byte();
    if (what == 255) {
      return begin_session();
    }
    const std::uint64_t counter = choose_counter(input);
    const Packet plain = choose_plain(what, input);
    Datagram datagram = raw_.data(counter, plain);
    const std::uint8_t mask = (what & 32U) != 0 ? input.byte() : 0;
    datagram.bytes[input.number() % datagram.bytes.size()] ^= mask;
    const std::size_t before = world_.foreign.size();
    raw_.give(datagram);
    // Whoever changes a bit has said nothing; not even the counter is used up.
    const bool accepted = mask == 0 && counters_.accept(counter);
    const Packet expected = accepted ? foretold(plain, raw_.number) : Packet{};
    WG_ASSERT(world_.foreign.size() - before == (expected.empty() ? 0U : 1U));
    WG_ASSERT(expected.empty() || world_.foreign.back() == expected);
    world_.settle();
    WG_ASSERT(world_.checks.failures.empty());
  }
  void finish() {
    world_.finish();
    WG_ASSERT(world_.checks.failures.empty() && host_.slots_are_home());
  }

 private:
  void begin_session() {
    world_.run_for(std::chrono::seconds{1});  // initiations in a row are refused
    raw_.establish();                         // a keepalive has used counter 0
    counters_.clear();
    WG_ASSERT(counters_.accept(0));
    last_ = 0;
  }
  std::uint64_t choose_counter(Input& input) {
    const std::uint8_t how = input.byte();
    const std::uint16_t distance = input.number();
    switch (how % 6) {
      case 0:
        return last_ += 1;
      case 1:
        return last_ += distance;
      case 2:
        return last_ - distance;  // below zero: far above the limit
      case 3:
        return last_ += std::uint64_t{1} << (distance % 64U);
      case 4:
        return wgring::noise::reject_after_messages - 8 + distance % 16U;
      default:
        return last_;
    }
  }
  // As it comes, or with a header that is right as far as the flags say.
  Packet choose_plain(std::uint8_t what, Input& input) {
    const Bytes bytes = input.take(input.number() % plain_max);
    Packet plain(bytes.begin(), bytes.end());
    const bool v4 = (what & 1U) == 0;
    if ((what & 2U) == 0 || plain.size() < (v4 ? 20U : 40U)) {
      return plain;
    }
    plain[0] = static_cast<std::uint8_t>(v4 ? 0x45 : 0x60);
    if ((what & 4U) != 0) {
      const std::size_t length = plain.size() - (v4 ? 0 : 40) - input.byte() % 24U;
      wgring::store_be16(plain.data() + (v4 ? 2 : 4), static_cast<std::uint16_t>(length));
    }
    if ((what & 8U) != 0) {
      const auto address = wgring::sim::tunnel_address(v4 ? Family::v4 : Family::v6, raw_.number);
      std::ranges::copy(address.significant(), plain.begin() + (v4 ? 12 : 8));
    }
    return plain;
  }

  World world_{{.seed = 1, .keep_log = true}};
  Host& host_;
  RawPeer raw_;
  Counters counters_;
  std::uint64_t last_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Stage stage;
  wgring::fuzz::run_records(input, stage, records_max);
  stage.finish();
  return 0;
}

// A device under load: who is let in, who is asked for a cookie, who is too fast, and for how long.
// Initiations are the fuzzer's: whose, from where, fresh or again, with which macs, and the cookies
// in them are those that the device has given. A model of few lines foretells every answer, every
// counter and where each peer is taken to be (protocol sections 6 and 7).
//
//   records: | what | peer and age | source | macs | how much of it |
#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <set>

#include "crypto/blake2s.hpp"
#include "crypto/xaead.hpp"
#include "fuzz/cookie_model.hpp"
#include "fuzz/input.hpp"
#include "noise/constants.hpp"
#include "tests/sim/raw_peer.hpp"
#include "tests/sim/test_access.hpp"

namespace {

using namespace std::chrono_literals;
using wgring::ByteArray;
using wgring::Bytes;
using wgring::Duration;
using wgring::Instant;
using wgring::MutableBytes;
using wgring::fuzz::Input;
using wgring::fuzz::network_of;
using wgring::fuzz::networks;
using wgring::fuzz::Rate;
using wgring::fuzz::Secret;
using wgring::fuzz::source_at;
using wgring::fuzz::sources;
using wgring::noise::CookieReplyLayout;
using wgring::noise::Drop;
using wgring::noise::DropCounters;
using wgring::noise::InitiationLayout;
using wgring::noise::SocketAddress;
using wgring::sim::Datagram;
using wgring::sim::Host;
using wgring::sim::RawPeer;
using wgring::sim::World;
using Mac = ByteArray<16>;

constexpr int records_max = 40;
// Load begins with 512 at once. What floods may cost in one run: an answer is half a millisecond.
constexpr std::size_t flood_max = 640;
constexpr std::size_t floods_budget = 4'000;
static_assert(flood_max <= wgring::noise::train_segments_max * wgring::noise::wild_batch_max);

// --- the model ---

// One of the two queues; its length is the load.
class Load {
 public:
  void arrive(std::size_t messages) { arrived_ += messages; }
  // `waiting` messages, all of which are looked at now, the longest queue first.
  [[nodiscard]] bool look(std::size_t waiting, Instant now) {
    const bool over = until_ && now >= *until_;
    const bool again = over && now - *until_ < 1s && arrived_ >= 512;
    if (waiting >= 512 || again) {
      until_ = now + 1s;
      arrived_ = 0;
    } else if (over) {
      until_.reset();
    }
    return until_.has_value();
  }

 private:
  std::optional<Instant> until_;
  std::size_t arrived_ = 0;  // since it was set
};

struct Cookie {
  std::size_t source = 0;
  int secret = 0;
  Mac value{};
};

enum class Fate : std::uint8_t { bad_mac1, cookie, too_fast, refused, answered };

// What the device is asked, as the model sees it.
struct Question {
  std::size_t source = 0;
  bool right_mac1 = true;
  const Cookie* cookie = nullptr;  // mac2 is right by this one
};

class Model {
 public:
  // Of so many that arrive at once, these get a place: few of one known source do.
  [[nodiscard]] std::size_t taken(const Question& question, std::size_t count) const {
    const bool expected = known_.contains(question.source) && question.right_mac1;
    return expected ? std::min<std::size_t>(count, 8) : count;
  }
  // `count` alike have a place, and are looked at before the next ones come.
  [[nodiscard]] Fate door(const Question& question, std::size_t count, Instant now) {
    const bool expected = known_.contains(question.source);
    if (expected && !question.right_mac1) {
      return Fate::bad_mac1;  // takes no place
    }
    Load& queue = expected ? expected_ : strangers_;
    queue.arrive(count);
    const bool here = queue.look(count, now);
    const bool there = (expected ? strangers_ : expected_).look(0, now);
    if (!question.right_mac1) {
      return Fate::bad_mac1;
    }
    if (!here && !there) {
      return Fate::answered;
    }
    const int secret = secret_.use(now);
    const Cookie* const cookie = question.cookie;
    if (cookie == nullptr || cookie->source != question.source || cookie->secret != secret) {
      return Fate::cookie;
    }
    return rates_[network_of(question.source)].take(now) ? Fate::answered : Fate::too_fast;
  }
  void know(std::size_t source) { known_.insert(source); }
  [[nodiscard]] int secret(Instant now) { return secret_.use(now); }

 private:
  std::set<std::size_t> known_;  // where authentic peers were seen
  Load expected_;
  Load strangers_;
  Secret secret_;
  std::array<Rate, networks> rates_;
};

// --- who speaks ---

struct Sent {
  int number = 0;  // in the order of the timestamps
  Datagram message;
};

struct Caller {
  Caller(World& world, Host& host, std::uint16_t number, bool known)
      : raw(world, host, number), is_peer(known) {
    if (known) {
      raw.join(false);
    }
  }
  RawPeer raw;
  bool is_peer;
  std::deque<Sent> sent;
  int accepted = 0;  // number of the latest
  Instant accepts_from{};
  std::optional<std::size_t> seen_at{};
};

class Stage {
 public:
  Stage() : host_(world_.add_host()) {
    callers_.emplace_back(world_, host_, 70, true);
    callers_.emplace_back(world_, host_, 71, true);
    callers_.emplace_back(world_, host_, 72, false);
  }

  void record(Input& input) {
    const std::uint8_t what = input.byte();
    const std::uint8_t who = input.byte();
    const std::size_t source = input.byte() % sources;
    const std::uint8_t macs = input.byte();
    const std::uint8_t amount = input.byte();
    switch (what % 8) {
      case 0:
      case 1:
        world_.run_for(step(amount));
        break;
      case 2:
        flood(source, (macs & 1U) != 0, std::min<std::size_t>(std::size_t{13} * amount, flood_max));
        break;
      default:
        call(callers_[who % callers_.size()], who, source, macs, amount);
        break;
    }
    world_.settle();
    WG_ASSERT(world_.checks.failures.empty());
  }
  void finish() {
    world_.finish();
    WG_ASSERT(world_.checks.failures.empty() && host_.slots_are_home());
  }

 private:
  // The edges, and what is between them.
  static Duration step(std::uint8_t amount) {
    constexpr std::array<Duration, 12> edges{1ns,      20ms - 1ns, 20ms,       50ms - 1ns,
                                             50ms,     250ms,      1s - 1ns,   1s,
                                             2s - 1ns, 60s,        120s - 1ns, 120s};
    return amount < 128 ? edges[amount % edges.size()] : (amount - 128) * Duration{5ms};
  }

  // Noise, by one who knows the device's public key or does not.
  void flood(std::size_t source, bool right_mac1, std::size_t count) {
    const std::size_t cost = right_mac1 ? 4 * count : count;
    if (count == 0 || cost > floods_left_) {
      return;
    }
    floods_left_ -= cost;
    Datagram junk = callers_[0].raw.wrap(std::vector<std::uint8_t>(InitiationLayout::size));
    junk.bytes[0] = 1;
    address(junk, source);
    if (right_mac1) {
      callers_[0].raw.restamp_macs(junk);
    }
    const Question question{.source = source, .right_mac1 = right_mac1};
    const std::size_t taken = model_.taken(question, count);
    const Fate fate = model_.door(question, taken, world_.now());
    const DropCounters before = host_.device().drops();
    give(junk, count);
    expect(fate == Fate::answered ? Fate::refused : fate, before, taken);
    const DropCounters& after = host_.device().drops();
    WG_ASSERT(after[Drop::handshake_queue_full] - before[Drop::handshake_queue_full] ==
              count - taken);
    take_answers(source, junk);
  }

  void call(Caller& caller, std::uint8_t who, std::size_t source, std::uint8_t macs,
            std::uint8_t amount) {
    const Sent& sent = choose(caller, who);
    Datagram message = sent.message;
    address(message, source);
    const bool right_mac1 = (macs & 7U) != 7;
    if (!right_mac1) {
      message.bytes[InitiationLayout::mac1 + amount % 16U] ^= 1;
    }
    const Cookie* const cookie = choose_cookie(source, macs, amount);
    write_mac2(message, cookie, macs);
    const bool untouched = (macs & 8U) == 0;
    const Instant now = world_.now();
    Fate fate = model_.door(
        {.source = source, .right_mac1 = right_mac1, .cookie = untouched ? cookie : nullptr}, 1,
        now);
    if (fate == Fate::answered && !accepts(caller, sent, now)) {
      fate = Fate::refused;
    }
    if (fate == Fate::answered) {
      caller.accepted = sent.number;
      caller.accepts_from = now + 20ms;
      caller.seen_at = source;
      model_.know(source);
    }
    const DropCounters before = host_.device().drops();
    give(message, 1);
    expect(fate, before, 1);
    if (fate == Fate::answered && &sent == &caller.sent.back()) {
      const bool right = caller.raw.consume(world_.log.back());
      WG_ASSERT(right);
    }
    take_answers(source, message);
    expect_places();
  }

  void address(Datagram& message, std::size_t source) const {
    message.from = source_at(source);
    message.to = host_.address(message.from.ip.family);
  }
  // A new one, or one that was sent before.
  const Sent& choose(Caller& caller, std::uint8_t who) {
    const std::size_t back = who / 3U % 8U;
    if (back == 0 || back > caller.sent.size()) {
      const int number = caller.sent.empty() ? 1 : caller.sent.back().number + 1;
      caller.sent.push_back({.number = number, .message = caller.raw.initiation()});
      return caller.sent.back();
    }
    return caller.sent[caller.sent.size() - back];
  }
  static bool accepts(const Caller& caller, const Sent& sent, Instant now) {
    return caller.is_peer && sent.number > caller.accepted && now >= caller.accepts_from;
  }

  // None, the last that this source was given, or any.
  const Cookie* choose_cookie(std::size_t source, std::uint8_t macs, std::uint8_t amount) {
    if ((macs & 48U) == 0 || cookies_.empty()) {
      return nullptr;
    }
    if ((macs & 16U) == 0) {
      return &cookies_[amount % cookies_.size()];
    }
    const auto last = std::find_if(cookies_.rbegin(), cookies_.rend(),
                                   [&](const Cookie& cookie) { return cookie.source == source; });
    return last == cookies_.rend() ? nullptr : &*last;
  }
  static void write_mac2(Datagram& message, const Cookie* cookie, std::uint8_t macs) {
    const MutableBytes bytes{message.bytes};
    const auto mac2 = wgring::fixed<16>(bytes, InitiationLayout::mac2);
    if (cookie != nullptr) {
      wgring::crypto::mac(mac2, cookie->value, bytes.first(InitiationLayout::mac2));
    }
    if ((macs & 8U) != 0) {
      mac2[macs / 16U] ^= 1;
    }
  }

  // All looked at before time goes on.
  void give(const Datagram& message, std::size_t count) {
    world_.log.clear();
    callers_[0].raw.give(std::vector<Datagram>(count, message), true);
  }

  void expect(Fate fate, const DropCounters& before, std::size_t count) {
    const DropCounters& after = host_.device().drops();
    for (const auto& [kind, drop] : {std::pair{Fate::bad_mac1, Drop::bad_mac1},
                                     {Fate::cookie, Drop::cookie_sent},
                                     {Fate::too_fast, Drop::rate_limited},
                                     {Fate::refused, Drop::bad_handshake}}) {
      WG_ASSERT(after[drop] - before[drop] == (fate == kind ? count : 0U));
    }
    const bool speaks = fate == Fate::cookie || fate == Fate::answered;
    WG_ASSERT(world_.log.size() == (speaks ? count : 0U));
    const char letter = fate == Fate::cookie ? 'C' : 'R';
    for (const Datagram& answer : world_.log) {
      WG_ASSERT(answer.letter() == letter);
    }
  }

  // Each goes to where the question came from, and names it; one cookie of each time is kept.
  void take_answers(std::size_t source, const Datagram& question) {
    for (const Datagram& answer : world_.log) {
      WG_ASSERT(answer.to == source_at(source));
      WG_ASSERT(answer.receiver_index() == question.sender_index());
    }
    if (world_.log.empty() || world_.log.back().letter() != 'C') {
      return;
    }
    const Bytes reply{world_.log.back().bytes};
    Cookie cookie{.source = source, .secret = model_.secret(world_.now())};
    const bool opened = wgring::crypto::xaead_open(
        cookie.value, reply.subspan(CookieReplyLayout::sealed_cookie),
        Bytes{question.bytes}.subspan(InitiationLayout::mac1, 16),
        callers_[0].raw.remote.mac_keys.cookie, wgring::fixed<24>(reply, CookieReplyLayout::nonce));
    WG_ASSERT(opened);
    cookies_.push_back(cookie);
  }

  // Only who was answered has moved.
  void expect_places() {
    for (const Caller& caller : callers_) {
      if (caller.is_peer) {
        const auto& peer =
            wgring::noise::CoreTestAccess::peer(host_.device(), caller.raw.local.public_key());
        const SocketAddress there = caller.seen_at ? source_at(*caller.seen_at) : SocketAddress{};
        WG_ASSERT(peer.endpoint.remote == there);
      }
    }
  }

  World world_{{.seed = 1, .keep_log = true, .packet_slots = 512}};
  Host& host_;
  std::deque<Caller> callers_;
  std::vector<Cookie> cookies_;
  Model model_;
  std::size_t floods_left_ = floods_budget;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Stage stage;
  wgring::fuzz::run_records(input, stage, records_max);
  stage.finish();
  return 0;
}

// The gate at the door: any bytes, and initiations by who knows our public key, with cookies that
// it has given, fresh, old, or another's. A model of few lines foretells what becomes of each
// (protocol sections 6 and 7).
//
//   records: | what | source | macs | amount |, and bytes where what asks for them
#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "crypto/secret.hpp"
#include "fuzz/cookie_model.hpp"
#include "fuzz/input.hpp"
#include "noise/identity.hpp"
#include "noise/initiation_gate.hpp"
#include "noise/messages.hpp"
#include "tests/noise/seeded_entropy.hpp"
#include "tests/support/memory.hpp"

namespace {

using namespace std::chrono_literals;
using wgring::ByteArray;
using wgring::Bytes;
using wgring::Duration;
using wgring::Instant;
using wgring::fuzz::Input;
using wgring::fuzz::network_of;
using wgring::fuzz::networks;
using wgring::fuzz::Rate;
using wgring::fuzz::Secret;
using wgring::fuzz::source_at;
using wgring::fuzz::sources;
using wgring::noise::CookieJar;
using wgring::noise::CookieReplyLayout;
using wgring::noise::DataLayout;
using wgring::noise::Drop;
using wgring::noise::IndexMark;
using wgring::noise::InitiationGate;
using wgring::noise::InitiationLayout;
using wgring::noise::MessageType;
using wgring::noise::ResponseLayout;
using Initiation = ByteArray<InitiationLayout::size>;
using Fate = std::optional<Drop>;

constexpr int records_max = 60;
constexpr std::size_t junk_max = 700;  // load begins with 512 at once
constexpr std::size_t junk_budget = 4'000;
constexpr IndexMark mark{0x9e37'79b1U, 0x1234'5678U};

// --- the model ---

// A thousand a second without a cookie, and 512 at once.
class Load {
 public:
  [[nodiscard]] bool arrive(Instant now) {
    arrived_ += 1;
    if (until_ && now < *until_) {
      return true;
    }
    const bool again = until_ && now - *until_ < 1s && arrived_ >= 512;
    if (!again) {
      credit_ = std::min<Duration>(512ms, credit_ + std::min<Duration>(512ms, now - last_));
      last_ = now;
      if (credit_ >= 1ms) {
        credit_ -= 1ms;
        until_.reset();
        return false;
      }
    }
    begin(now);
    return true;
  }
  void begin(Instant now) {
    until_ = now + 1s;
    arrived_ = 0;
  }

 private:
  std::optional<Instant> until_;
  std::size_t arrived_ = 0;  // since it was set
  Duration credit_ = 512ms;
  Instant last_{};
};

// A cookie as the model knows it.
struct Given {
  int secret = 0;
  Instant at{};
};

class Stage {
 public:
  Stage() {
    const bool opened = gate_.open(memory_.source());
    WG_ASSERT(opened);
    ByteArray<32> key{};
    key.fill(0x22);
    ours_.set(wgring::crypto::Secret<32>(key));
    remote_.set_public_key(ours_.public_key());
    gate_.set_mac_keys(ours_.mac_keys());
  }

  void record(Input& input) {
    const std::uint8_t what = input.byte();
    const std::size_t source = input.byte() % sources;
    const std::uint8_t macs = input.byte();
    const std::uint8_t amount = input.byte();
    switch (what % 8) {
      case 0:
        now_ += step(amount);
        gate_.collect(now_);
        break;
      case 1:
        give_bytes(shaped(input.take(amount), macs), source);
        break;
      case 2:
        give_junk(source, std::min<std::size_t>(std::size_t{7} * amount, junk_max));
        break;
      case 3:
        gate_.begin_load(now_);
        load_.begin(now_);
        break;
      case 4:
        has_key_ = !has_key_;
        gate_.set_mac_keys(has_key_ ? std::optional{ours_.mac_keys()} : std::nullopt);
        break;
      default:
        ask(source, macs, amount);
        break;
    }
  }

 private:
  // The edges, and what is between them.
  static Duration step(std::uint8_t amount) {
    constexpr std::array<Duration, 10> edges{1ns,      1ms, 50ms - 1ns, 50ms,       250ms,
                                             1s - 1ns, 1s,  2s - 1ns,   120s - 1ns, 120s};
    return amount < 128 ? edges[amount % edges.size()] : (amount - 128) * Duration{5ms};
  }

  [[nodiscard]] Fate foretell(bool right_mac1, bool right_cookie, std::size_t source) {
    if (!has_key_) {
      return Drop::no_identity;
    }
    if (!right_mac1) {
      return Drop::bad_mac1;
    }
    if (!load_.arrive(now_)) {
      return std::nullopt;
    }
    const int secret = secret_.use(now_);
    if (!right_cookie || given_[source].secret != secret) {
      return Drop::cookie_sent;
    }
    return rates_[network_of(source)].take(now_) ? Fate{} : Drop::rate_limited;
  }

  void expect(Fate fate, Bytes datagram, std::size_t source) {
    const auto before = gate_.drops();
    WG_ASSERT(gate_.refuse(datagram, source_at(source), now_, reply_) == fate);
    for (std::size_t i = 0; i < wgring::noise::drop_count; ++i) {
      const bool is_it = fate && static_cast<std::size_t>(*fate) == i;
      WG_ASSERT(gate_.drops().packets[i] - before.packets[i] == (is_it ? 1U : 0U));
    }
  }

  // As they are, or with the type, the length and the mark of a message.
  static std::vector<std::uint8_t> shaped(Bytes bytes, std::uint8_t macs) {
    std::vector<std::uint8_t> made(bytes.begin(), bytes.end());
    if ((macs & 1U) == 0) {
      return made;
    }
    const std::uint32_t type = macs / 2U % 8U;
    made.resize(type == 3   ? CookieReplyLayout::size
                : type == 2 ? ResponseLayout::size
                : type == 1 ? InitiationLayout::size
                            : std::max<std::size_t>(made.size(), DataLayout::size_min));
    wgring::store_le32(made.data(), type);
    std::uint8_t* const index =
        made.data() + (type == 2 ? ResponseLayout::receiver_index : DataLayout::receiver_index);
    if ((macs & 16U) != 0) {
      wgring::store_le32(index, mark.put_on(wgring::load_le32(index)));
    }
    return made;
  }

  void give_bytes(Bytes bytes, std::size_t source) {
    const MessageType type = wgring::noise::classify(bytes);
    const auto index = wgring::noise::receiver_index_of(type, bytes);
    WG_ASSERT(gate_.marked_index(bytes) == (index && mark.is_on(*index) ? index : std::nullopt));
    if (type == MessageType::initiation) {
      expect(foretell(false, false, source), bytes, source);  // nobody guesses a mac1
    } else {
      expect(index && !mark.is_on(*index) ? Drop::unknown_index : Drop::malformed, bytes, source);
    }
  }

  // One message again and again, by who has no cookie.
  void give_junk(std::size_t source, std::size_t count) {
    if (count > junk_left_) {
      return;
    }
    junk_left_ -= count;
    const Initiation message = make(CookieJar{});
    for (std::size_t i = 0; i < count; ++i) {
      expect(foretell(true, false, source), message, source);
    }
  }

  // By who was there before: with the cookie of its own source, or with another's.
  void ask(std::size_t source, std::uint8_t macs, std::uint8_t amount) {
    const std::size_t whose = (macs & 1U) == 0 ? source : amount % sources;
    CookieJar& jar = jars_[whose];
    Initiation message = make(jar);
    const bool has_cookie = given_[whose].secret != 0 && now_ - given_[whose].at < 115s;
    const bool right_mac1 = (macs & 6U) != 6;
    const bool right_mac2 = (macs & 24U) != 24;
    message[InitiationLayout::mac1 + amount % 16U] ^= right_mac1 ? 0 : 1;
    message[InitiationLayout::mac2 + amount % 16U] ^= right_mac2 ? 0 : 1;
    const Fate fate = foretell(right_mac1, has_cookie && right_mac2 && whose == source, source);
    expect(fate, message, source);
    if (fate == Drop::cookie_sent && whose == source) {
      const bool consumed = jar.consume_reply(reply_, remote_, now_);
      WG_ASSERT(consumed);
      given_[source] = {.secret = secret_.use(now_), .at = now_};
    }
  }

  Initiation make(CookieJar&& jar) { return make(jar); }
  Initiation make(CookieJar& jar) {
    Initiation message{};
    message[0] = static_cast<std::uint8_t>(MessageType::initiation);
    wgring::store_le32(&message[InitiationLayout::ephemeral], number_++);
    jar.add_macs(message, remote_, now_);
    return message;
  }

  wgring::test::TestMemory memory_;
  wgring::test::SeededEntropy random_{1};
  InitiationGate gate_{random_.entropy(), mark};
  wgring::noise::LocalIdentity ours_;
  wgring::noise::RemoteIdentity remote_;
  bool has_key_ = true;
  Instant now_ = Instant{} + 1000s;
  std::uint32_t number_ = 0;
  ByteArray<CookieReplyLayout::size> reply_{};
  std::array<CookieJar, sources> jars_;
  std::array<Given, sources> given_;
  Load load_;
  Secret secret_;
  std::array<Rate, networks> rates_;
  std::size_t junk_left_ = junk_budget;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Stage stage;
  wgring::fuzz::run_records(input, stage, records_max);
  return 0;
}

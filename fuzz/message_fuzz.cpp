// What anybody can send, and what an observer can make of messages that he has seen: a Device with
// one peer, in a session or not, that has begun a handshake or not.
//
//   | state | records: | what | ... |
//
// None of it is data under a known key, so nothing is ever delivered; and what stays of it is
// bounded.
#include <algorithm>
#include <chrono>
#include <optional>

#include "fuzz/input.hpp"
#include "noise/cookie.hpp"
#include "tests/sim/raw_peer.hpp"
#include "tests/sim/test_access.hpp"

namespace {

using wgring::ByteArray;
using wgring::Bytes;
using wgring::fuzz::Input;
using wgring::noise::CookieMaker;
using wgring::noise::CookieReplyLayout;
using wgring::noise::CoreTestAccess;
using wgring::noise::Drop;
using wgring::sim::Datagram;
using wgring::sim::Host;
using wgring::sim::RawPeer;
using wgring::sim::World;

constexpr int records_max = 32;
constexpr std::size_t bytes_max = 300;
constexpr std::uint8_t cookies_from = 248;  // of the byte that says what comes

class Stage {
 public:
  explicit Stage(std::uint8_t state) : host_(world_.add_host()), raw_(world_, host_, 77) {
    raw_.join();
    if ((state & 1U) != 0) {
      raw_.establish();
    }
    if ((state & 2U) != 0) {
      host_.totals.tun_packets += 1;
      world_.send_raw(
          host_, wgring::sim::make_inner({.number = 1, .from = host_.number(), .to = raw_.number}));
    }
    genuine_ = raw_.initiation();
    at_start_ = host_.totals.delivered;
  }

  void record(Input& input) {
    const std::uint8_t what = input.byte();
    if (what >= cookies_from) {
      return give_cookie(input);
    }
    switch (what % 8) {
      case 0:  // as it is
        return give(any(input));
      case 1: {  // with macs
        Datagram message = any(input);
        const std::size_t sizes[] = {148, 92};
        message.bytes.resize(sizes[input.byte() % 2]);
        message.bytes[0] = message.bytes.size() == 148 ? 1 : 2;
        raw_.restamp_macs(message);
        return give(message);
      }
      case 2:
        return give(altered(genuine_, input));
      case 3:  // an answer to what the host began
        if (auto answer = response()) {
          return give(altered(*answer, input));
        }
        return;
      case 4:  // its own words
        if (!world_.log.empty()) {
          Datagram echo = world_.log[input.byte() % world_.log.size()];
          return give(altered(raw_.wrap(echo.bytes), input));
        }
        return;
      case 5: {  // a train of one message and pieces of it
        const Datagram one = altered(genuine_, input);
        const Datagram pieces[] = {one, one, any(input)};
        return give(pieces, true);
      }
      case 6:
        genuine_ = raw_.initiation();
        return;
      default:
        world_.run_for(std::chrono::milliseconds{input.number()});
    }
  }

  void check() {
    WG_ASSERT(host_.totals.delivered == at_start_);
    const std::uint32_t keypairs = CoreTestAccess::keypair_count(host_.device());
    WG_ASSERT(keypairs <= 3);
    // An index lives just as long as what it stands for.
    WG_ASSERT(CoreTestAccess::index_count(host_.device()) ==
              keypairs + (peer().handshake_index ? 1U : 0U));
    WG_ASSERT(host_.device().peer_count() == 1);
    world_.settle();
    WG_ASSERT(world_.checks.failures.empty());
  }
  void finish() {
    world_.finish();
    WG_ASSERT(world_.checks.failures.empty() && host_.slots_are_home());
  }

 private:
  [[nodiscard]] Datagram any(Input& input) const {
    const Bytes bytes = input.take(input.number() % bytes_max);
    return raw_.wrap({bytes.begin(), bytes.end()});
  }
  // One byte or two changed, and the macs made to fit or not; or nothing at all. With macs that fit
  // the sender's index stays: it would name another session, and nonces are followed by index.
  Datagram altered(Datagram message, Input& input) {
    const std::uint8_t how = input.byte();
    for (int i = 0; i < how % 3 && !message.bytes.empty(); ++i) {
      const std::uint8_t mask = input.byte();
      const std::size_t at = input.byte() % message.bytes.size();
      if ((how & 128U) == 0 || at < 4 || at >= 8) {
        message.bytes[at] ^= mask;
      }
    }
    if ((how & 64U) != 0 && !message.bytes.empty()) {
      message.bytes.resize(std::max<std::size_t>(1, input.number() % bytes_max));
    }
    const std::size_t size = message.bytes.size();
    if ((how & 128U) != 0 && (size == 148 || size == 92)) {
      raw_.restamp_macs(message);
    }
    return message;
  }
  std::optional<Datagram> response() {
    const std::vector<Datagram> begun = wgring::sim::sent_to(world_, raw_.address, 'I');
    return begun.empty() ? std::nullopt : raw_.response(begun.back());
  }
  // The cookie that the host's latest message earns, as it is or altered. Of the handshake that is
  // going on it is taken once.
  void give_cookie(Input& input) {
    const auto asked = std::find_if(
        world_.log.rbegin(), world_.log.rend(),
        [](const Datagram& one) { return one.letter() == 'I' || one.letter() == 'R'; });
    if (asked == world_.log.rend()) {
      return;
    }
    const Datagram question = *asked;
    ByteArray<CookieReplyLayout::size> reply{};
    const bool made =
        cookies_.make_reply(reply, question.bytes, question.from, raw_.local.mac_keys(),
                            world_.now(), raw_.entropy.entropy());
    WG_ASSERT(made);
    const Datagram genuine = raw_.wrap({reply.begin(), reply.end()});
    const Datagram given = altered(genuine, input);
    const std::uint64_t refused = host_.device().drops()[Drop::bad_cookie_reply];
    const bool goes_on = peer().handshake_index == question.sender_index();
    give(given);
    if (goes_on && given.bytes == genuine.bytes) {
      const bool again = answered_ == question.bytes;
      WG_ASSERT(host_.device().drops()[Drop::bad_cookie_reply] - refused == (again ? 1U : 0U));
      answered_ = question.bytes;
    }
  }
  [[nodiscard]] wgring::noise::Peer& peer() {
    return CoreTestAccess::peer(host_.device(), raw_.local.public_key());
  }
  // What is not accepted changes nothing: what is, is answered or makes keys.
  void give(std::span<const Datagram> datagrams, bool as_train = false) {
    const auto index = peer().handshake_index;
    const auto current = peer().keypairs.current;
    const std::size_t sent = world_.log.size();
    raw_.give(datagrams, as_train);
    WG_ASSERT(world_.log.size() != sent || peer().keypairs.current != current ||
              peer().handshake_index == index);
  }
  void give(const Datagram& datagram) { give({&datagram, 1}); }

  World world_{{.seed = 1}};
  Host& host_;
  RawPeer raw_;
  Datagram genuine_;
  CookieMaker cookies_;
  std::vector<std::uint8_t> answered_;  // the host's message whose cookie it has
  std::uint64_t at_start_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Stage stage(input.byte());
  for (int i = 0; i < records_max && !input.empty(); ++i) {
    stage.record(input);
    stage.check();
  }
  stage.finish();
  return 0;
}

// The text configuration protocol at 10 000 peers: parsing and formatting alone, and a whole `set`
// and `get` through the shard's thread to its Device, as the configuration socket does them.
#include <memory>
#include <string>

#include <sys/socket.h>

#include "bench/support/stage.hpp"
#include "daemon/interface.hpp"
#include "daemon/uapi_format.hpp"
#include "daemon/uapi_parser.hpp"
#include "tests/sim/random.hpp"
#include "tun/entropy.hpp"
#include "tun/fd.hpp"
#include "tun/memory_source.hpp"

namespace wgring::bench {
namespace {

using namespace daemon;

constexpr std::size_t read_bytes = 16 * 1024;  // as a session reads

std::uint32_t no_interface(std::string_view /*name*/) noexcept { return 0; }

std::string hex_key(sim::Random& random) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (int i = 0; i < 64; ++i) {
    text += digits[random.below(16)];
  }
  return text;
}

// What `wg setconf` sends: each peer with key, preshared key, endpoint, keepalive, two prefixes.
std::string set_text(std::size_t peers) {
  sim::Random random(seed);
  std::string text = "set=1\nprivate_key=" + hex_key(random) + "\nreplace_peers=true\n";
  for (std::size_t i = 0; i < peers; ++i) {
    const std::string net = std::to_string(i / 250) + "." + std::to_string(i % 250);
    text += "public_key=" + hex_key(random) + "\npreshared_key=" + hex_key(random) +
            "\nreplace_allowed_ips=true\nendpoint=192.0." + net +
            ":51820\npersistent_keepalive_interval=25\nallowed_ip=10." + net +
            ".0/24\nallowed_ip=fd00:" + std::to_string(i) + "::/32\n";
  }
  return text + "\n";
}

SetRequest parse(const std::string& text) {
  UapiParser parser(no_interface);
  std::string_view rest = text;
  while (!rest.empty()) {
    const UapiParser::Fed fed = parser.feed(rest.substr(0, read_bytes));
    rest.remove_prefix(fed.taken_bytes);
  }
  WG_ASSERT(parser.verb() == Verb::set && parser.refusal() == nullptr);
  return parser.take_set();
}

// A Device on its shard; a socket pair stands in for TUN, and the link stays down.
class Daemon {
 public:
  Daemon() {
    std::array<int, 2> ends{};
    WG_ASSERT(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) ==
              0);
    tun_ = tun::Fd(ends[0]);
    far_end_ = tun::Fd(ends[1]);
    auto started = tun::Shards::start({.engine = tun::EngineKind::epoll,
                                       .aead = &crypto::aead_boringssl(),
                                       .memory = memory_.source(),
                                       .entropy = tun::system_entropy()},
                                      {{tun_.get()}});
    WG_ASSERT(started.has_value());
    shards_ = std::move(*started);
    interface_ = std::make_unique<Interface>(*shards_, tun::ReceiveRuns::on);
  }

  void set(const std::string& text) {
    const Status applied = interface_->apply(parse(text));
    WG_ASSERT(applied.has_value());
  }
  // All pages as text, each dropped where a session would write it; returns their size.
  std::size_t get() {
    DeviceStatus status;
    interface_->read_device(status);
    text_.restart(device_text_bytes_max);
    append_device(text_, status);
    std::size_t bytes = text_.view().size();
    std::uint64_t after_serial = 0;
    do {
      interface_->read_peers(after_serial, page_);
      text_.restart(page_text_bytes_max(page_) + errno_text_bytes_max);
      append_page(text_, page_);
      after_serial = page_.peer_count > 0 ? page_.peers[page_.peer_count - 1].serial : 0;
      bytes += text_.view().size();
    } while (!page_.last);
    return bytes;
  }

 private:
  tun::Fd tun_;
  tun::Fd far_end_;
  tun::SystemMemory memory_;
  std::unique_ptr<tun::Shards> shards_;
  std::unique_ptr<Interface> interface_;
  PeerPage page_;
  TextBuffer text_;
};

Work work_of(std::size_t peers, std::size_t bytes) {
  return {.items = static_cast<std::int64_t>(peers), .bytes = static_cast<std::int64_t>(bytes)};
}

void parse_set(benchmark::State& state, std::size_t peers) {
  const std::string text = set_text(peers);
  measure(state, work_of(peers, text.size()), [&] {
    const SetRequest request = parse(text);
    WG_ASSERT(request.peers.size() == peers);
  });
}

// The peers are there already and are replaced: the whole of what a repeated `setconf` costs.
void set(benchmark::State& state, std::size_t peers) {
  Daemon daemon;
  const std::string text = set_text(peers);
  daemon.set(text);
  measure(state, work_of(peers, text.size()), [&] { daemon.set(text); });
}

void get(benchmark::State& state, std::size_t peers) {
  Daemon daemon;
  daemon.set(set_text(peers));
  const std::size_t bytes = daemon.get();
  measure(state, work_of(peers, bytes), [&] { WG_ASSERT(daemon.get() == bytes); });
}

}  // namespace

void add_benchmarks() {
  for (const std::size_t peers : {100U, 10'000U}) {
    const std::string tail = "/" + std::to_string(peers);
    const auto named = [&](const std::string& name, void (*run)(benchmark::State&, std::size_t)) {
      add("uapi/" + name + tail, [run, peers](benchmark::State& state) { run(state, peers); })
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    };
    named("parse_set", parse_set);
    named("set", set);
    named("get", get);
  }
}

}  // namespace wgring::bench

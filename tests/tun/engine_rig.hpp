// An engine between a real TUN and real sockets, driven by hand; the core's part is the test's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "space.hpp"
#include "tun/clock.hpp"
#include "tun/engine/engine.hpp"
#include "tun/engine/epoll_engine.hpp"
#include "tun/engine/uring_engine.hpp"
#include "tun/train_pool.hpp"
#include "tun/tun_device.hpp"
#include "tun/wake.hpp"

namespace wgring::tun::test {

class UringBasicEngine : public UringEngine {
 public:
  UringBasicEngine() noexcept : UringEngine(UringForm::basic) {}
};

// A ring that is full all the time: most turns want more entries, and bring more completions, than
// it holds.
class UringNarrowEngine : public UringEngine {
 public:
  UringNarrowEngine() noexcept : UringEngine(UringForm::full, {.entries = 2, .completions = 4}) {}
};

using Engines = ::testing::Types<EpollEngine, UringEngine, UringBasicEngine, UringNarrowEngine>;

struct EngineNames {
  template <typename E>
  static std::string GetName(int) {
    if (std::is_same_v<E, EpollEngine>) {
      return "Epoll";
    }
    if (std::is_same_v<E, UringNarrowEngine>) {
      return "UringNarrow";
    }
    return std::is_same_v<E, UringEngine> ? "Uring" : "UringBasic";
  }
};

inline std::string numbered(std::uint32_t number, std::size_t bytes = 100) {
  std::string text = std::to_string(number) + ":";
  text.resize(bytes, static_cast<char>('a' + number % 26));
  return text;
}

// An inner packet: IPv4 and UDP from 10.9.0.2:9 to 10.9.0.1:port.
inline std::vector<std::uint8_t> inner_udp(std::uint16_t port, const std::string& text) {
  std::vector<std::uint8_t> packet(28 + text.size());
  packet[0] = 0x45;
  store_be16(&packet[2], static_cast<std::uint16_t>(packet.size()));
  packet[8] = 64;
  packet[9] = 17;
  const std::array<std::uint8_t, 8> addresses{10, 9, 0, 2, 10, 9, 0, 1};
  std::copy(addresses.begin(), addresses.end(), packet.begin() + 12);
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < 20; i += 2) {
    sum += load_be16(&packet[i]);
  }
  sum = (sum & 0xffff) + (sum >> 16);
  store_be16(&packet[10], static_cast<std::uint16_t>(~(sum + (sum >> 16))));
  store_be16(&packet[20], 9);
  store_be16(&packet[22], port);
  store_be16(&packet[24], static_cast<std::uint16_t>(8 + text.size()));
  std::copy(text.begin(), text.end(), packet.begin() + 28);
  return packet;
}

inline noise::SocketAddress to_v4(std::array<std::uint8_t, 4> ip, std::uint16_t port) {
  noise::SocketAddress to{.ip = {.family = noise::Family::v4}, .port = port, .scope_id = 0};
  std::copy(ip.begin(), ip.end(), to.ip.bytes.begin());
  return to;
}
inline noise::SocketAddress to_loopback(noise::Family family, std::uint16_t port) {
  if (family == noise::Family::v4) {
    return to_v4({127, 0, 0, 1}, port);
  }
  noise::SocketAddress to{.ip = {.family = noise::Family::v6}, .port = port, .scope_id = 0};
  to.ip.bytes[15] = 1;
  return to;
}

template <typename E>
class EngineRig : public SpaceTest {
 protected:
  void SetUp() override {
    SpaceTest::SetUp();
    ASSERT_TRUE(pools_.open());
    ASSERT_TRUE(wake_.open());
    auto device = with_offloads_ ? TunDevice::create("wgt0", offloads_) : create_plain("wgt0");
    ASSERT_TRUE(device) << device.error().what;
    device_ = std::move(*device);
    set_address("wgt0", "10.9.0.1");
    open_engine();
    auto pair = UdpPair::open(0, 0, with_offloads_ ? ReceiveRuns::on : ReceiveRuns::off);
    ASSERT_TRUE(pair) << pair.error().what;
    pair_ = std::move(*pair);
    engine_->set_sockets(&pair_);
  }
  void TearDown() override {
    inbox_.clear();
    outbox_.clear();
    engine_.reset();
    // Whatever happened: each slot came back.
    EXPECT_EQ(pools_.trains().available(), train_count);
    EXPECT_EQ(pools_.packets().available(), packet_count);
  }
  void open_engine() {
    engine_ = std::make_unique<E>();
    const Status status = engine_->open(
        {.tun_fd = device_.fd(),
         .wake_fd = wake_.fd(),
         .trains = &pools_.trains(),
         .packets = &pools_.packets(),
         .vnet = device_.vnet(),
         .join = {.tcp = with_offloads_, .udp = with_offloads_ && offloads_.has(Offload::tun_uso)},
         .segmentation = with_offloads_ ? Segmentation::on : Segmentation::off});
    ASSERT_TRUE(status) << status.error().what;
  }

  // One turn: what has come is appended to got_udp_ and got_tun_.
  void turn(Duration patience = std::chrono::milliseconds{20}) {
    engine_->arm();
    if (engine_->may_sleep()) {
      engine_->wait(read_clock().boottime + patience);
    }
    collect();
  }
  // What the engine keeps of an outbox goes with the next look.
  void submit() {
    engine_->submit(outbox_);
    engine_->arm();
    collect();
  }
  void collect() {
    inbox_.clear();
    engine_->reap(inbox_);
    for (const noise::Wild& wild : inbox_.wilds) {
      const Bytes bytes = wild.slot.bytes().first(wild.bytes);
      got_udp_.emplace_back(bytes.begin(), bytes.end());
      last_stride_ = wild.stride_bytes;
      last_source_ = wild.source;
      last_destination_ = wild.destination;
    }
    for (const noise::Plain& plain : inbox_.plains) {
      got_tun_.emplace_back(plain.data, plain.data + plain.bytes);
      last_offload_ = plain.offload;
      // The core may use the bytes behind a packet.
      std::memset(plain.data, 0xdd, plain.bytes + noise::plain_tailroom_bytes);
    }
    woken_ = woken_ || inbox_.notes.woken;
    gone_ = gone_ || inbox_.notes.tun_gone;
    for (const noise::LocalSource& source : inbox_.notes.refused) {
      refused_.push_back(source);
    }
    fatal_ = fatal_ || inbox_.notes.fatal.has_value();
  }
  // What the core refuses is read as it is, and does not disturb what comes after it.
  void expect_packets_of_few_bytes() {
    const Peer host("10.9.0.1");
    for (const std::size_t bytes : {1U, 2U, 3U, 19U}) {
      got_tun_.clear();
      send_link_layer("wgt0", std::string(bytes, 'E'));
      host.send("10.9.0.2", 9, "after");
      ASSERT_TRUE(turn_until([&] { return got_tun_.size() == 2; }));
      EXPECT_EQ(got_tun_[0], std::string(bytes, 'E'));
      EXPECT_EQ(got_tun_[1].substr(28), "after");
    }
  }
  template <typename Condition>
  [[nodiscard]] bool turn_until(Condition condition, int turns_max = 1'000'000) {
    const Instant end = read_clock().boottime + std::chrono::seconds{20};
    for (int i = 0; i < turns_max && read_clock().boottime < end; ++i) {
      if (condition()) {
        return true;
      }
      turn();
    }
    return condition();
  }

  void add_train(const noise::Endpoint& endpoint, const std::vector<std::string>& segments,
                 SlotPool& pool) {
    noise::Transmit transmit;
    transmit.slot = pool.take();
    ASSERT_TRUE(transmit.slot);
    transmit.stride_bytes = static_cast<std::uint32_t>(segments.front().size());
    transmit.segment_count = static_cast<std::uint16_t>(segments.size());
    transmit.endpoint = endpoint;
    for (const std::string& segment : segments) {
      segment.copy(reinterpret_cast<char*>(transmit.slot.data()) + transmit.bytes, segment.size());
      transmit.bytes += static_cast<std::uint32_t>(segment.size());
    }
    outbox_.transmits.push_back(std::move(transmit));
  }
  void add_datagram(const noise::SocketAddress& to, const std::string& text) {
    add_train({.remote = to, .source = {}}, {text}, pools_.packets());
  }
  void add_delivers(const std::vector<std::vector<std::uint8_t>>& packets) {
    noise::Deliver run;
    run.slot = pools_.trains().take();
    ASSERT_TRUE(run.slot);
    run.first_inner = static_cast<std::uint32_t>(outbox_.inners.size());
    std::uint32_t offset = noise::inner_headroom_bytes;
    for (const auto& packet : packets) {
      noise::Inner inner;
      inner.offset_bytes = offset;
      inner.bytes = static_cast<std::uint32_t>(packet.size());
      copy_bytes(run.slot.bytes().subspan(offset), packet);
      offset += inner.bytes + noise::inner_headroom_bytes;
      outbox_.inners.push_back(inner);
      run.inner_count += 1;
    }
    outbox_.delivers.push_back(std::move(run));
  }

  bool with_offloads_ = false;  // before SetUp()
  Offloads offloads_;
  TrainPools pools_;
  Wake wake_;
  TunDevice device_;
  UdpPair pair_;
  std::unique_ptr<E> engine_;
  Inbox inbox_;
  noise::Outbox outbox_;
  std::vector<std::string> got_udp_;
  std::vector<std::string> got_tun_;
  noise::SocketAddress last_source_;
  noise::LocalSource last_destination_;
  std::uint32_t last_stride_ = 0;
  noise::VnetHeader last_offload_;
  bool woken_ = false;
  bool gone_ = false;
  std::vector<noise::LocalSource> refused_;
  bool fatal_ = false;
};

}  // namespace wgring::tun::test

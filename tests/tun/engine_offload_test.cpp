// Trains and super-packets through the real kernel, on each engine.
#include <cstdio>
#include <memory>
#include <utility>

#include <netinet/udp.h>
#include <sys/utsname.h>

#include "engine_rig.hpp"
#include "tests/noise/ip_packet.hpp"
#include "tun/offload/probe.hpp"

namespace wgring::tun::test {
namespace {

template <typename E>
class EngineOffloadTest : public EngineRig<E> {
 protected:
  EngineOffloadTest() { this->with_offloads_ = true; }
};
TYPED_TEST_SUITE(EngineOffloadTest, Engines, EngineNames);

// UDP super-packets of a TUN came with Linux 6.2.
bool kernel_has_uso() {
  utsname name{};
  std::pair<int, int> version;
  EXPECT_EQ(::uname(&name), 0);
  EXPECT_EQ(std::sscanf(name.release, "%d.%d", &version.first, &version.second), 2);
  return version >= std::pair{6, 2};
}

// A UDP socket that sends runs: the kernel cuts them as late as it can.
void send_run(const char* from, const char* to, std::size_t segment, const std::string& payload) {
  const Fd fd{::socket(AF_INET, SOCK_DGRAM, 0)};
  sockaddr_in source{};
  source.sin_family = AF_INET;
  ::inet_pton(AF_INET, from, &source.sin_addr);
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&source), sizeof source), 0);
  const int bytes = static_cast<int>(segment);
  ASSERT_EQ(::setsockopt(fd.get(), IPPROTO_UDP, UDP_SEGMENT, &bytes, sizeof bytes), 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(9);
  ::inet_pton(AF_INET, to, &at.sin_addr);
  ASSERT_EQ(::sendto(fd.get(), payload.data(), payload.size(), 0,
                     reinterpret_cast<const sockaddr*>(&at), sizeof at),
            static_cast<ssize_t>(payload.size()));
}

TYPED_TEST(EngineOffloadTest, TunGivesSuperPackets) {
  const bool whole = this->offloads_.has(Offload::tun_uso);
  EXPECT_EQ(whole, kernel_has_uso());
  std::string payload;
  for (std::uint32_t i = 0; i < 10; ++i) {
    payload += numbered(i, 700);
  }
  send_run("10.9.0.1", "10.9.0.2", 700, payload);
  ASSERT_TRUE(this->turn_until([&] { return this->got_tun_.size() == (whole ? 1 : 10); }));
  if (!whole) {
    EXPECT_EQ(this->engine_->counters().super_packets_read, 0U);
    return;
  }
  EXPECT_EQ(this->got_tun_[0].substr(28), payload);
  EXPECT_EQ(this->last_offload_.gso_type, noise::VnetHeader::gso_udp_l4);
  EXPECT_EQ(this->last_offload_.segment_bytes, 700);
  EXPECT_EQ(this->engine_->counters().super_packets_read, 1U);
}

// fault: DF-0315
TYPED_TEST(EngineOffloadTest, APacketOfOneByteIsReadAsOne) { this->expect_packets_of_few_bytes(); }

TYPED_TEST(EngineOffloadTest, TunTakesSuperPackets) {
  const bool whole = this->offloads_.has(Offload::tun_uso);
  const Peer host("10.9.0.1");
  std::vector<std::vector<std::uint8_t>> packets;
  for (std::uint32_t i = 0; i < 30; ++i) {
    packets.push_back(inner_udp(host.port(), numbered(i, 900)));
    store_be16(&packets.back()[4], static_cast<std::uint16_t>(i));
    wgring::test::fix_v4_checksum(packets.back());
    if (whole) {
      store_be16(&packets.back()[26], 1);  // in a run the kernel does not look at it
    }
  }
  this->add_delivers(packets);
  this->submit();
  for (std::uint32_t i = 0; i < 30; ++i) {
    ASSERT_EQ(host.receive(), numbered(i, 900));
  }
  EXPECT_EQ(this->engine_->counters().super_packets_written, whole ? 1U : 0U);
  EXPECT_EQ(this->engine_->counters().tun_written, 30U);
}

// fault: gotatun-long-datagram
TYPED_TEST(EngineOffloadTest, ATrainLeavesAndArrivesWhole) {
  std::vector<std::string> segments;
  std::string all;
  for (std::uint32_t i = 0; i < 64; ++i) {
    segments.push_back(numbered(i, i == 63 ? 100 : 900));
    all += segments.back();
  }
  for (const noise::Family family : {noise::Family::v4, noise::Family::v6}) {
    this->got_udp_.clear();
    this->add_train({.remote = to_loopback(family, this->pair_.port()), .source = {}}, segments,
                    this->pools_.trains());
    this->submit();
    std::size_t bytes = 0;
    ASSERT_TRUE(this->turn_until([&] {
      bytes = 0;
      for (const std::string& one : this->got_udp_) {
        bytes += one.size();
      }
      return bytes == all.size();
    })) << bytes;
    std::string got;
    for (const std::string& one : this->got_udp_) {
      got += one;
    }
    EXPECT_EQ(got, all);
    EXPECT_EQ(this->last_stride_, 900U);
  }
  EXPECT_EQ(this->engine_->counters().trains_sent, 2U);
  EXPECT_EQ(this->engine_->counters().udp_sent, 128U);
  EXPECT_EQ(this->engine_->counters().udp_received, 128U);
}

TYPED_TEST(EngineOffloadTest, ASegmentLongerThanThePathGoesOneByOne) {
  SpaceTest::run("ip link set lo mtu 1400");
  std::vector<std::string> segments;
  for (std::uint32_t i = 0; i < 10; ++i) {
    segments.push_back(numbered(i, 2000));
  }
  this->add_train({.remote = to_loopback(noise::Family::v4, this->pair_.port()), .source = {}},
                  segments, this->pools_.trains());
  this->submit();
  ASSERT_TRUE(this->turn_until([&] { return this->got_udp_.size() == 10; }));
  EXPECT_EQ(this->got_udp_, segments);
  EXPECT_GE(this->engine_->counters().segmentation_refused, 1U);
  EXPECT_EQ(this->engine_->counters().send_errors.sum(), 0U);
}

// --- probes ---

class ProbeTest : public SpaceTest {};

TEST_F(ProbeTest, ThisKernelPassesAllThatItHas) {
  Offloads offloads;
  const auto device = TunDevice::create("wgt0", offloads);
  ASSERT_TRUE(device);
  EXPECT_EQ(device->vnet(), VnetMode::on);
  probe_tun_writes(device->fd(), offloads);
  probe_udp(offloads);
  for (std::size_t i = 0; i < offload_count; ++i) {
    const auto offload = static_cast<Offload>(i);
    const bool is_uso = offload == Offload::tun_uso || offload == Offload::tun_udp_join;
    EXPECT_EQ(offloads.has(offload), kernel_has_uso() || !is_uso)
        << offload_name(offload) << offloads.why_off(offload);
  }
}

TEST_F(ProbeTest, ATunWithoutHeadersHasNone) {
  Offloads offloads;
  offloads.turn_off_tun("not wanted");
  const auto device = TunDevice::create("wgt0", offloads);
  ASSERT_TRUE(device);
  EXPECT_EQ(device->vnet(), VnetMode::off);
  EXPECT_EQ(offloads.why_off(Offload::tun_tso), "not wanted");
  EXPECT_TRUE(offloads.has(Offload::udp_gso));
}

TEST_F(ProbeTest, EachIsOffByItself) {
  Offloads offloads;
  offloads.turn_off(Offload::tun_uso, "not wanted");
  offloads.turn_off(Offload::tun_udp_join, "not wanted");
  const auto device = TunDevice::create("wgt0", offloads);
  ASSERT_TRUE(device);
  EXPECT_EQ(device->vnet(), VnetMode::on);
  EXPECT_TRUE(offloads.has(Offload::tun_tso));
  EXPECT_TRUE(offloads.has(Offload::tun_tcp_join));
}

}  // namespace
}  // namespace wgring::tun::test

// InterfaceFixture: requests through the shards to real Devices; a socket pair stands in for TUN.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>

#include "crypto/self_test.hpp"
#include "daemon/interface.hpp"
#include "daemon/uapi_parser.hpp"
#include "tests/support/memory.hpp"
#include "tun/entropy.hpp"
#include "tun/fd.hpp"

namespace wgring::daemon {

inline std::uint32_t no_interface(std::string_view /*name*/) noexcept { return 0; }

// The first byte is what shards are chosen by.
inline std::string key_line(std::string_view key, std::uint32_t number) {
  char digits[65];
  std::snprintf(digits, sizeof digits, "%02x%062x", number & 0xff, number);
  return std::string(key) + "=" + digits + "\n";
}

// With one shard, and with two that share the peers.
class InterfaceFixture : public testing::TestWithParam<std::size_t> {
 protected:
  InterfaceFixture() {
    // Ports of its own: cases run beside each other. Who may not has those of the host.
    static_cast<void>(::unshare(CLONE_NEWNET));
    EXPECT_TRUE(crypto::initialise());
    const Status started = start();
    EXPECT_TRUE(started);
  }

  // Anew, without a peer and with the link down.
  Status start() {
    interface_.reset();
    shards_.reset();
    tuns_.clear();
    std::vector<int> queues;
    for (std::size_t i = 0; i < GetParam(); ++i) {
      std::array<int, 2> ends{};
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()),
                0);
      queues.push_back(ends[0]);
      tuns_.emplace_back(ends[0]);
      tuns_.emplace_back(ends[1]);
    }
    auto started = tun::Shards::start({.engine = tun::EngineKind::epoll,
                                       .aead = &crypto::aead_boringssl(),
                                       .memory = memory_.source(),
                                       .entropy = tun::system_entropy()},
                                      queues);
    if (!started) {
      return std::unexpected(started.error());
    }
    shards_ = std::move(*started);
    interface_ = std::make_unique<Interface>(*shards_, tun::ReceiveRuns::on);
    return {};
  }

  Status apply(const std::string& body) {
    UapiParser parser(no_interface);
    const std::string text = "set=1\n" + body + "\n";
    EXPECT_EQ(parser.feed(text).progress, UapiParser::Progress::complete);
    EXPECT_EQ(parser.refusal(), nullptr);
    return interface_->apply(parser.take_set());
  }
  // The errno of the set; 0: applied.
  int set(const std::string& body) {
    const Status applied = apply(body);
    return applied ? 0 : applied.error().errno_value;
  }
  DeviceStatus device() {
    DeviceStatus status;
    interface_->read_device(status);
    return status;
  }
  // "number:prefixes" of all peers, over as many pages as it takes.
  std::string peers() {
    std::string text;
    PeerPage page;
    std::uint64_t after_serial = 0;
    do {
      interface_->read_peers(after_serial, page);
      for (std::size_t i = 0; i < page.peer_count; ++i) {
        const noise::PeerStatus& peer = page.peers[i];
        text += (text.empty() ? "" : " ") + std::to_string(load_be32(&peer.public_key[28])) + ":" +
                std::to_string(peer.prefix_count);
        after_serial = peer.serial;
      }
    } while (!page.last);
    return text;
  }

  std::vector<tun::Fd> tuns_;  // socket pairs, both ends
  test::TestMemory memory_;
  std::unique_ptr<tun::Shards> shards_;
  std::unique_ptr<Interface> interface_;
};

}  // namespace wgring::daemon

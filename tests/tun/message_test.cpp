// What is made of the kernel's control messages, also of those that no kernel here gives: cut
// short, missing, of a foreign kind, in the sizes of other kernels.
#include "tun/message.hpp"

#include <vector>

#include <gtest/gtest.h>
#include <netinet/udp.h>

namespace wgring::tun::test {
namespace {

// One received datagram as the kernel describes it.
class Received {
 public:
  template <typename T>
  Received& with(int level, int type, const T& value) {
    const std::size_t at = control_.size();
    control_.resize(at + CMSG_SPACE(sizeof value));
    const cmsghdr head{.cmsg_len = CMSG_LEN(sizeof value), .cmsg_level = level, .cmsg_type = type};
    std::memcpy(&control_[at], &head, sizeof head);
    std::memcpy(&control_[at + CMSG_LEN(0)], &value, sizeof value);
    return *this;
  }
  // As many bytes less of the last control message, of which its length tells as well.
  Received& cut_short(std::size_t bytes) {
    control_.resize(control_.size() - bytes);
    cmsghdr head{};
    std::memcpy(&head, control_.data(), sizeof head);
    head.cmsg_len = control_.size();
    std::memcpy(control_.data(), &head, sizeof head);
    return *this;
  }
  Parsed parse(int flags = 0) {
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_port = htons(7);
    from.sin_addr.s_addr = htonl(0x0a000001);
    msghdr header{};
    header.msg_name = &from;
    header.msg_namelen = sizeof from;
    header.msg_control = control_.data();
    header.msg_controllen = control_.size();
    header.msg_flags = flags;
    wild.destination.ip.family = noise::Family::v6;  // of the slot's last datagram
    wild.ecn = 3;
    wild.to_many = true;
    wild.stride_bytes = 9;
    return parse_received(header, 100, wild, kernel_drops);
  }

  noise::Wild wild;
  std::uint32_t kernel_drops = 5;

 private:
  std::vector<std::uint8_t> control_;
};

in_pktinfo v4_info() {
  in_pktinfo info{};
  info.ipi_ifindex = 3;
  info.ipi_spec_dst.s_addr = htonl(0x0a000002);
  info.ipi_addr = info.ipi_spec_dst;
  return info;
}
in6_pktinfo v6_info() {
  in6_pktinfo info{};
  info.ipi6_ifindex = 4;
  info.ipi6_addr.s6_addr[15] = 1;
  return info;
}

TEST(ReceivedMessage, WithoutPktinfoItHasNoDestinationAndIsTaken) {  // H8
  Received received;
  EXPECT_EQ(received.parse(), Parsed::ok);
  EXPECT_EQ(received.wild.bytes, 100U);
  EXPECT_EQ(received.wild.source.port, 7);
  EXPECT_EQ(received.wild.destination.ip.family, noise::Family::none);
  EXPECT_EQ(received.wild.destination.interface_index, 0U);
  EXPECT_EQ(received.wild.ecn, 0);
  EXPECT_FALSE(received.wild.to_many);
  EXPECT_EQ(received.wild.stride_bytes, 0U);
  EXPECT_EQ(received.kernel_drops, 5U);
}

TEST(ReceivedMessage, AllThatTheKernelSaysIsRead) {
  Received received;
  received.with(IPPROTO_IP, IP_PKTINFO, v4_info()).with(IPPROTO_IP, IP_TOS, std::uint8_t{0xfe});
  received.with(IPPROTO_UDP, UDP_GRO, int{60}).with(SOL_SOCKET, SO_RXQ_OVFL, std::uint32_t{8});
  EXPECT_EQ(received.parse(), Parsed::ok);
  EXPECT_EQ(received.wild.destination.ip.family, noise::Family::v4);
  EXPECT_EQ(received.wild.destination.ip.bytes[3], 2);
  EXPECT_EQ(received.wild.destination.interface_index, 3U);
  EXPECT_EQ(received.wild.ecn, 2);
  EXPECT_EQ(received.wild.stride_bytes, 60U);
  EXPECT_EQ(received.kernel_drops, 8U);
  Received sixth;
  sixth.with(IPPROTO_IPV6, IPV6_PKTINFO, v6_info()).with(IPPROTO_IPV6, IPV6_TCLASS, int{0x101});
  sixth.with(IPPROTO_UDP, UDP_GRO, std::uint16_t{61});
  EXPECT_EQ(sixth.parse(), Parsed::ok);
  EXPECT_EQ(sixth.wild.destination.ip.bytes[15], 1);
  EXPECT_EQ(sixth.wild.destination.interface_index, 4U);
  EXPECT_EQ(sixth.wild.ecn, 1);
  EXPECT_EQ(sixth.wild.stride_bytes, 61U) << "two bytes on some kernels";
}

TEST(ReceivedMessage, OneToManyIsKnownByItsDestination) {
  in_pktinfo fourth = v4_info();
  in6_pktinfo sixth = v6_info();
  const auto is_to_many = [](int level, int type, const auto& info) {
    Received received;
    EXPECT_EQ(received.with(level, type, info).parse(), Parsed::ok);
    return received.wild.to_many;
  };
  EXPECT_FALSE(is_to_many(IPPROTO_IP, IP_PKTINFO, fourth));
  EXPECT_FALSE(is_to_many(IPPROTO_IPV6, IPV6_PKTINFO, sixth));
  fourth.ipi_addr.s_addr = htonl(0x0a0000ff);
  sixth.ipi6_addr.s6_addr[0] = 0xff;
  EXPECT_TRUE(is_to_many(IPPROTO_IP, IP_PKTINFO, fourth));
  EXPECT_TRUE(is_to_many(IPPROTO_IPV6, IPV6_PKTINFO, sixth));
}

TEST(ReceivedMessage, NothingIsAnsweredFromAMulticastAddress) {
  in6_pktinfo info = v6_info();
  info.ipi6_addr.s6_addr[0] = 0xff;
  Received received;
  EXPECT_EQ(received.with(IPPROTO_IPV6, IPV6_PKTINFO, info).parse(), Parsed::ok);
  EXPECT_EQ(received.wild.destination.ip.family, noise::Family::none);
  EXPECT_EQ(received.wild.destination.interface_index, 4U);
}

TEST(ReceivedMessage, CutControlOrPayloadIsTruncated) {  // H8
  for (const int flags : {int{MSG_CTRUNC}, int{MSG_TRUNC}, MSG_CTRUNC | MSG_TRUNC}) {
    Received received;
    received.with(IPPROTO_IP, IP_PKTINFO, v4_info());
    EXPECT_EQ(received.parse(flags), Parsed::truncated);
  }
}

// The kernel flags these. Where it did not, no byte behind the message would be read.
TEST(ReceivedMessage, AShortControlMessageIsAsIfItWereMissing) {  // H8
  for (std::size_t cut = CMSG_SPACE(sizeof(in_pktinfo)) - sizeof(in_pktinfo) - CMSG_LEN(0) + 1;
       cut <= CMSG_SPACE(sizeof(in_pktinfo)) - CMSG_LEN(0); ++cut) {
    Received received;
    received.with(IPPROTO_IP, IP_PKTINFO, v4_info()).cut_short(cut);
    EXPECT_EQ(received.parse(), Parsed::ok);
    EXPECT_EQ(received.wild.destination.ip.family, noise::Family::none) << cut;
  }
  Received none;
  none.with(IPPROTO_IP, IP_TOS, std::uint8_t{3}).cut_short(CMSG_SPACE(1) - CMSG_LEN(0));
  EXPECT_EQ(none.parse(), Parsed::ok);
  EXPECT_EQ(none.wild.ecn, 0);
  Received less;  // than a header
  less.with(IPPROTO_IP, IP_TOS, std::uint8_t{3});
  less.cut_short(CMSG_SPACE(1) - sizeof(cmsghdr));
  EXPECT_EQ(less.parse(), Parsed::ok);
  Received six;
  six.with(IPPROTO_IPV6, IPV6_PKTINFO, v6_info()).cut_short(8);
  EXPECT_EQ(six.parse(), Parsed::ok);
  EXPECT_EQ(six.wild.destination.ip.family, noise::Family::none);
  Received drops;
  drops.with(SOL_SOCKET, SO_RXQ_OVFL, std::uint32_t{8}).cut_short(6);
  EXPECT_EQ(drops.parse(), Parsed::ok);
  EXPECT_EQ(drops.kernel_drops, 5U);
}

TEST(ReceivedMessage, ForeignControlMessagesAreSteppedOver) {
  Received received;
  received.with(SOL_SOCKET, SCM_TIMESTAMPNS, timespec{}).with(IPPROTO_IP, IP_TTL, int{64});
  received.with(1234, 5678, std::uint64_t{~0ULL}).with(IPPROTO_IP, IP_PKTINFO, v4_info());
  EXPECT_EQ(received.parse(), Parsed::ok);
  EXPECT_EQ(received.wild.destination.ip.family, noise::Family::v4);
}

TEST(ReceivedMessage, ASizeOfARunThatIsNotPositiveIsNone) {  // H7
  for (const int size : {-1, 0}) {
    Received received;
    received.with(IPPROTO_UDP, UDP_GRO, size);
    EXPECT_EQ(received.parse(), Parsed::ok);
    EXPECT_EQ(received.wild.stride_bytes, 0U);
  }
}

}  // namespace
}  // namespace wgring::tun::test

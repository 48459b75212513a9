#include "tun/tun_device.hpp"

#include <thread>

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <sys/syscall.h>

#include "failing.hpp"
#include "space.hpp"

namespace wgring::tun::test {
namespace {

class TunDeviceTest : public SpaceTest {};

// 0: no error.
int errno_of(const Result<TunDevice>& result) { return result ? 0 : result.error().errno_value; }

TEST_F(TunDeviceTest, CreateGivesAnInterfaceOfTheDefaultMtu) {
  auto device = create_plain("wgt0");
  ASSERT_TRUE(device) << device.error().what;
  EXPECT_EQ(device->name(), "wgt0");
  EXPECT_EQ(device->mtu(), 1420U);
  EXPECT_EQ(device->interface_index(), ::if_nametoindex("wgt0"));
  EXPECT_NE(::fcntl(device->fd(), F_GETFL) & O_NONBLOCK, 0);
  run("ip -o link show wgt0 | grep -w 'qlen 1024'");
  ASSERT_TRUE(device->set_mtu(8920));
  EXPECT_EQ(device->mtu(), 8920U);
  EXPECT_FALSE(device->set_mtu(70'000));
}

TEST_F(TunDeviceTest, TheInterfaceGoesWithItsLastDescriptor) {
  {
    ASSERT_TRUE(create_plain("wgt0"));
  }
  EXPECT_EQ(::if_nametoindex("wgt0"), 0U);
}

TEST_F(TunDeviceTest, StateFollowsTheLink) {
  const auto device = create_plain("wgt0");
  ASSERT_TRUE(device);
  EXPECT_EQ(device->state(), TunState::down);
  set_up("wgt0");
  EXPECT_EQ(device->state(), TunState::up);
  set_up("wgt0", false);
  EXPECT_EQ(device->state(), TunState::down);
  run("ip link delete wgt0");
  EXPECT_EQ(device->state(), TunState::gone);
  EXPECT_EQ(device->mtu().error().errno_value, ENODEV);
}

TEST_F(TunDeviceTest, AnErrorOfAskingIsNotTheEnd) {
  with_failing(SYS_ioctl, [](FailingCall& ioctl) {
    auto device = create_plain("wgt0");
    ASSERT_TRUE(device);
    for (const int error : {ENOBUFS, EPERM, ENETUNREACH, EMSGSIZE, EIO, EAGAIN}) {
      ioctl.fail_next(error, 1);
      EXPECT_EQ(device->state().error().errno_value, error);
      EXPECT_EQ(device->state(), TunState::down);
      ioctl.fail_next(error, 1);
      EXPECT_EQ(device->refresh_name().error().errno_value, error);
      EXPECT_TRUE(device->refresh_name());
    }
  });
}

TEST_F(TunDeviceTest, ARenameIsSeen) {
  auto device = create_plain("wgt0");
  ASSERT_TRUE(device);
  run("ip link set wgt0 name other0");
  EXPECT_EQ(device->state(), TunState::down);
  ASSERT_TRUE(device->refresh_name());
  EXPECT_EQ(device->name(), "other0");
  EXPECT_EQ(device->mtu(), 1420U);
}

TEST_F(TunDeviceTest, ANamespaceOfOthersIsVisited) {
  auto device = create_plain("wgt0");
  ASSERT_TRUE(device);
  // Another namespace, held by a thread; a decoy of the same name stays here.
  std::thread mover([&] {
    const std::string here = "/proc/self/task/" + std::to_string(::gettid()) + "/ns/net";
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    const Fd there{::open(here.c_str(), O_RDONLY)};
    const std::string path =
        "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(there.get());
    std::thread([&] {
      const Fd home{::open("/proc/self/ns/net", O_RDONLY)};
      ASSERT_EQ(::setns(home.get(), CLONE_NEWNET), 0);
      run("ip link set wgt0 netns " + path);
    }).join();
    ASSERT_NE(::if_nametoindex("wgt0"), 0U);
    set_up("wgt0");
    run("ip link set wgt0 mtu 1300");
    std::thread([&] {
      const Fd home{::open("/proc/self/ns/net", O_RDONLY)};
      ASSERT_EQ(::setns(home.get(), CLONE_NEWNET), 0);
      const auto decoy = create_plain("wgt0");
      ASSERT_TRUE(decoy);
      EXPECT_EQ(decoy->mtu(), 1420U);
      EXPECT_EQ(device->mtu(), 1300U);
      EXPECT_EQ(device->state(), TunState::up);
    }).join();
    set_up("wgt0", false);
    EXPECT_EQ(device->state(), TunState::down);
  });
  mover.join();
}

TEST_F(TunDeviceTest, NamesAreChecked) {
  EXPECT_EQ(errno_of(create_plain("")), EINVAL);
  EXPECT_EQ(errno_of(create_plain("sixteen-bytes-xx")), EINVAL);
  EXPECT_EQ(errno_of(create_plain("with/slash")), EINVAL);
  EXPECT_EQ(errno_of(create_plain("lo")), EINVAL);
}

TEST_F(TunDeviceTest, ANameInUseIsAnErrorThatSaysSo) {
  const auto first = create_plain("wgt0");
  ASSERT_TRUE(first);
  const auto second = create_plain("wgt0");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().errno_value, EBUSY);
  EXPECT_NE(second.error().what.find("in use"), std::string_view::npos);
}

// The kernel would let it join the queues of the first, and share its packets out among both.
TEST_F(TunDeviceTest, ANameInUseIsAnErrorWithSeveralQueuesToo) {
  Offloads none;
  none.turn_off_tun("not in this test");
  {
    const auto first = TunDevice::create("wgt0", none, 2);
    ASSERT_TRUE(first) << first.error().what;
    EXPECT_EQ(errno_of(TunDevice::create("wgt0", none, 2)), EBUSY);
    EXPECT_EQ(errno_of(TunDevice::create("wgt0", none)), EBUSY);
    ASSERT_EQ(::ioctl(first->fd(), TUNSETPERSIST, 1UL), 0);
  }
  EXPECT_TRUE(TunDevice::create("wgt0", none, 2)) << "persistent, and nobody has it";
}

// Whether the kernel may give the TUN packets that are not whole.
bool gives_super_packets(const char* name) {
  const Fd fd{::socket(AF_INET, SOCK_DGRAM, 0)};
  for (const std::uint32_t question :
       {std::uint32_t{ETHTOOL_GTSO}, std::uint32_t{ETHTOOL_GTXCSUM}}) {
    ethtool_value value{};
    value.cmd = question;
    ifreq request{};
    std::strcpy(request.ifr_name, name);
    request.ifr_data = reinterpret_cast<char*>(&value);
    EXPECT_EQ(::ioctl(fd.get(), SIOCETHTOOL, &request), 0) << std::strerror(errno);
    if (value.data != 0) {
      return true;
    }
  }
  return false;
}

TEST_F(TunDeviceTest, WithoutHeadersTheOffloadsOfAnEarlierOwnerAreTakenBack) {
  {
    Offloads offloads;
    const auto earlier = TunDevice::create("wgt0", offloads);
    ASSERT_TRUE(earlier) << earlier.error().what;
    ASSERT_TRUE(offloads.has(Offload::tun_tso));
    ASSERT_EQ(::ioctl(earlier->fd(), TUNSETPERSIST, 1UL), 0);
  }
  ASSERT_TRUE(gives_super_packets("wgt0")) << "they outlive the descriptor";
  const auto device = create_plain("wgt0");
  ASSERT_TRUE(device) << device.error().what;
  EXPECT_EQ(device->vnet(), VnetMode::off);
  EXPECT_FALSE(gives_super_packets("wgt0"));
  EXPECT_EQ(::ioctl(device->fd(), TUNSETPERSIST, 0UL), 0);
}

Fd attached(short flags) {
  Fd fd{::open("/dev/net/tun", O_RDWR)};
  ifreq request{};
  std::strcpy(request.ifr_name, "wgt1");
  request.ifr_flags = flags;
  EXPECT_EQ(::ioctl(fd.get(), TUNSETIFF, &request), 0);
  return fd;
}

TEST_F(TunDeviceTest, AdoptTakesADescriptorAndKeepsItsMtu) {
  Fd fd = attached(IFF_TUN | IFF_NO_PI);
  const auto device = adopt_plain(std::move(fd));
  ASSERT_TRUE(device) << device.error().what;
  EXPECT_EQ(device->name(), "wgt1");
  EXPECT_EQ(device->mtu(), 1500U);
  EXPECT_NE(::fcntl(device->fd(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(device->fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(TunDeviceTest, AdoptRefusesWhatIsNotASuitableTun) {
  EXPECT_EQ(errno_of(adopt_plain(Fd{})), EBADF);
  EXPECT_FALSE(adopt_plain(Fd{::open("/dev/null", O_RDWR)}));
  // A descriptor without an interface.
  EXPECT_EQ(errno_of(adopt_plain(Fd{::open("/dev/net/tun", O_RDWR)})), EBADFD);
  EXPECT_EQ(errno_of(adopt_plain(attached(IFF_TAP | IFF_NO_PI))), EINVAL);
}

TEST_F(TunDeviceTest, WithoutPrivilegeTheErrorNamesIt) {
  // Capabilities are a thread's own.
  std::thread([] {
    ASSERT_EQ(::syscall(SYS_setresuid, 65534, 65534, 65534), 0);
    const auto device = create_plain("wgt0");
    ASSERT_FALSE(device);
    EXPECT_TRUE(device.error().errno_value == EPERM || device.error().errno_value == EACCES);
    EXPECT_NE(device.error().what.find("root"), std::string_view::npos);
  }).join();
}

}  // namespace
}  // namespace wgring::tun::test

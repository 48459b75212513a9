#include "daemon/uapi_socket.hpp"

#include <filesystem>
#include <fstream>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon/setup_error.hpp"
#include "tests/daemon/temporary_directory.hpp"

namespace wgring::daemon {
namespace {

bool can_connect(const std::string& path) {
  const tun::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

unsigned mode_of(const std::string& path) {
  struct stat status{};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status.st_mode & 0777U;
}

std::vector<std::string> files_in(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.push_back(entry.path().filename().native());
  }
  return names;
}

class UapiSocketTest : public testing::Test {
 protected:
  UapiSocketTest() : directory_(temporary_.path() + "/deep/wireguard") {}
  [[nodiscard]] UapiSocket listen() const { return UapiSocket::listen(directory_, "wg0"); }
  [[nodiscard]] std::string path() const { return directory_ + "/wg0.sock"; }
  void make_directory() const { std::filesystem::create_directories(directory_); }
  // What a killed process leaves.
  void make_stale() const {
    make_directory();
    const tun::Fd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }

  TemporaryDirectory temporary_;
  std::string directory_;
};

TEST_F(UapiSocketTest, MakesDirectoryAndSocketWithTheirRights) {
  const mode_t before = ::umask(0);
  const UapiSocket socket = listen();
  EXPECT_EQ(mode_of(directory_), 0755U);
  EXPECT_EQ(mode_of(path()) & 077U, 0U);
  EXPECT_TRUE(can_connect(path()));
  EXPECT_EQ(::umask(before), 0U) << "the mask is put back";
}

TEST_F(UapiSocketTest, LeavesNothingBesideTheSocket) {
  {
    const UapiSocket socket = listen();
    EXPECT_THAT(files_in(directory_), testing::ElementsAre("wg0.sock"));
  }
  EXPECT_THAT(files_in(directory_), testing::IsEmpty());
}

TEST_F(UapiSocketTest, ReplacesAStaleSocket) {
  make_stale();
  ASSERT_FALSE(can_connect(path()));
  const UapiSocket socket = listen();
  EXPECT_TRUE(can_connect(path()));
  EXPECT_TRUE(socket.file_is_ours());
}

TEST_F(UapiSocketTest, LiveSocketIsAnErrorAndStays) {
  const UapiSocket first = listen();
  EXPECT_THROW(static_cast<void>(listen()), SetupError);
  EXPECT_TRUE(first.file_is_ours());
  EXPECT_TRUE(can_connect(path()));
  EXPECT_THAT(files_in(directory_), testing::ElementsAre("wg0.sock"));
}

TEST_F(UapiSocketTest, AnotherKindOfFileIsAnErrorAndStays) {
  make_directory();
  std::ofstream(path()) << "precious";
  EXPECT_THROW(static_cast<void>(listen()), SetupError);
  EXPECT_EQ(std::filesystem::file_size(path()), 8U);
}

TEST_F(UapiSocketTest, PathThatIsTooLongIsAnError) {
  EXPECT_THROW(static_cast<void>(UapiSocket::listen(directory_, std::string(120, 'x'))),
               SetupError);
}

TEST_F(UapiSocketTest, FileOfAnotherProcessIsNotRemoved) {
  {
    const UapiSocket socket = listen();
    std::filesystem::rename(path(), path() + ".away");
    EXPECT_FALSE(socket.file_is_ours());
    make_stale();
    EXPECT_FALSE(socket.file_is_ours());
  }
  EXPECT_TRUE(std::filesystem::exists(path()));
}

TEST_F(UapiSocketTest, AdoptsAListeningSocketAndRemovesItsFile) {
  {
    UapiSocket first = listen();
    const UapiSocket second = UapiSocket::adopt(tun::Fd(::dup(first.fd())), directory_, "wg0");
    EXPECT_TRUE(second.file_is_ours());
  }
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(UapiSocketTest, AdoptsOnlyListeningUnixSockets) {
  int pipe_ends[2] = {};
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const tun::Fd writer(pipe_ends[1]);
  const int wrong[] = {pipe_ends[0], ::socket(AF_UNIX, SOCK_STREAM, 0),
                       ::socket(AF_INET, SOCK_STREAM, 0)};
  for (const int fd : wrong) {
    EXPECT_THROW(static_cast<void>(UapiSocket::adopt(tun::Fd(fd), directory_, "wg0")), SetupError);
  }
}

}  // namespace
}  // namespace wgring::daemon

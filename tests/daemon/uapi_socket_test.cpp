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
  // Bound to a name of its own and not listening: what a killed process leaves.
  [[nodiscard]] tun::Fd bound_at(const std::string& path) const {
    make_directory();
    tun::Fd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  void make_stale() const { static_cast<void>(bound_at(path())); }
  // What a starter hands over.
  [[nodiscard]] tun::Fd listening_at(const std::string& path) const {
    tun::Fd fd = bound_at(path);
    EXPECT_EQ(::listen(fd.get(), 1), 0);
    return fd;
  }
  [[nodiscard]] UapiSocket adopt(tun::Fd fd) const {
    return UapiSocket::adopt(std::move(fd), directory_, "wg0");
  }

  TemporaryDirectory temporary_;
  std::string directory_;
};

// fault: key-files
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

TEST_F(UapiSocketTest, FileThatWasRemovedIsNotTakenForNone) {
  const UapiSocket socket = listen();
  EXPECT_TRUE(socket.has_file());
  std::filesystem::remove(path());
  EXPECT_TRUE(socket.has_file()) << "whose absence is to be noticed";
  EXPECT_FALSE(socket.file_is_ours());
}

TEST_F(UapiSocketTest, AdoptsAListeningSocketAndRemovesItsFile) {
  {
    const UapiSocket socket = adopt(listening_at(path()));
    EXPECT_TRUE(socket.has_file());
    EXPECT_TRUE(socket.file_is_ours());
  }
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(UapiSocketTest, AdoptedFileMayBeKnownByAnotherPath) {
  make_directory();
  const std::string link = temporary_.path() + "/run";
  std::filesystem::create_directory_symlink(directory_, link);
  {
    const UapiSocket socket = adopt(listening_at(link + "/wg0.sock"));
    EXPECT_TRUE(socket.file_is_ours());
  }
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(UapiSocketTest, AdoptedSocketOfAnotherFileLeavesTheLiveOneAlone) {
  const UapiSocket live = listen();
  const std::string elsewhere = temporary_.path() + "/other.sock";
  {
    const UapiSocket socket = adopt(listening_at(elsewhere));
    EXPECT_FALSE(socket.has_file());
    EXPECT_FALSE(socket.file_is_ours());
  }
  EXPECT_TRUE(live.file_is_ours());
  EXPECT_TRUE(can_connect(path()));
  EXPECT_TRUE(std::filesystem::exists(elsewhere)) << "the starter's to remove";
}

TEST_F(UapiSocketTest, AdoptedSocketInNoDirectoryHasNoFile) {
  make_stale();
  {
    tun::Fd nameless(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un any{};  // the kernel finds one that is in no directory
    any.sun_family = AF_UNIX;
    ASSERT_EQ(::bind(nameless.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(sa_family_t)),
              0);
    ASSERT_EQ(::listen(nameless.get(), 1), 0);
    EXPECT_FALSE(adopt(std::move(nameless)).has_file());
  }
  EXPECT_TRUE(std::filesystem::exists(path()));
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

#include "daemon/uapi_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <string_view>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/bytes.hpp"
#include "daemon/setup_error.hpp"

namespace wgring::daemon {
namespace {

// A full queue would make `wg` hang in connect(); the kernel caps it at net.core.somaxconn.
constexpr int backlog = 4096;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    fail_setup("{}: the path is too long for a UNIX socket", path);
  }
  path.copy(address.sun_path, path.size());
  return address;
}

template <typename Call>
bool with_address(Call call, int fd, const sockaddr_un& address) noexcept {
  // NOLINTNEXTLINE: the socket API takes every address by this cast
  return call(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

tun::Fd make_socket() {
  tun::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) {
    fail_setup("socket(AF_UNIX): {}", errno_text(errno));
  }
  return fd;
}

void ensure_directory(const std::string& directory) {
  std::error_code error;
  const ::mode_t before = ::umask(022);
  std::filesystem::create_directories(directory, error);
  ::umask(before);
  if (error) {
    fail_setup("cannot make {}: {}", directory, error.message());
  }
}

class Umask {
 public:
  explicit Umask(::mode_t mask) noexcept : before_(::umask(mask)) {}
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;
  ~Umask() { ::umask(before_); }

 private:
  ::mode_t before_;
};

tun::Fd listen_at(const std::string& path) {
  tun::Fd fd = make_socket();
  const Umask owner_only(077);
  if (!with_address(::bind, fd.get(), address_of(path))) {
    fail_setup("cannot make a socket in {}: {}", std::filesystem::path(path).parent_path().native(),
               errno_text(errno));
  }
  if (::listen(fd.get(), backlog) != 0) {
    fail_setup("listen() on {}: {}", path, errno_text(errno));
  }
  return fd;
}

// Removes a socket file that no process serves; anything else in its place is an error.
void remove_stale(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) {
    return;
  }
  if (!S_ISSOCK(status.st_mode)) {
    fail_setup("{} is there and is not a socket", path);
  }
  const tun::Fd probe = make_socket();
  const bool connected = with_address(::connect, probe.get(), address_of(path));
  if (connected || errno != ECONNREFUSED) {
    fail_setup("{} is in use by another process", path);
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    fail_setup("cannot remove the stale {}: {}", path, errno_text(errno));
  }
}

// The name that a socket was bound to; empty: none, or one outside of the file system.
std::string bound_path(int fd) {
  sockaddr_un address{};
  socklen_t bytes = sizeof address;
  // NOLINTNEXTLINE: the socket API takes every address by this cast
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0 ||
      bytes <= offsetof(sockaddr_un, sun_path)) {
    return {};
  }
  // The kernel ends a name with a zero that has no place in sun_path when the name fills it.
  const std::string_view name{
      static_cast<const char*>(address.sun_path),
      std::min(bytes - offsetof(sockaddr_un, sun_path), sizeof address.sun_path)};
  return std::string(name.substr(0, name.find('\0')));
}

std::string path_of(const std::string& directory, const std::string& ifname) {
  return directory + "/" + ifname + ".sock";
}

}  // namespace

UapiSocket UapiSocket::listen(const std::string& directory, const std::string& ifname) {
  ensure_directory(directory);
  const std::string path = path_of(directory, ifname);
  static_cast<void>(address_of(path));
  // Under a name that `wg` does not look at, until the socket listens.
  const std::string hidden = fmt::format("{}/.{}.{}", directory, ifname, ::getpid());
  ::unlink(hidden.c_str());
  tun::Fd fd = listen_at(hidden);
  // Here, and not by the name that others know: they may remove or replace it at any time.
  const FileId file = file_at(hidden);
  int linked = -1;
  int reason = 0;
  try {
    for (int attempt = 0; attempt < 3 && linked != 0; ++attempt) {
      remove_stale(path);
      linked = ::link(hidden.c_str(), path.c_str());  // fails where a file is: never overwrites
      reason = errno;
    }
  } catch (...) {
    ::unlink(hidden.c_str());
    throw;
  }
  ::unlink(hidden.c_str());
  if (linked != 0) {
    fail_setup("cannot make {}: {}", path, errno_text(reason));
  }
  return {std::move(fd), directory, ifname, file};
}

UapiSocket UapiSocket::adopt(tun::Fd listening, const std::string& directory,
                             const std::string& ifname) {
  int domain = 0;
  int accepts = 0;
  socklen_t bytes = sizeof(int);
  const bool known =
      ::getsockopt(listening.get(), SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 &&
      ::getsockopt(listening.get(), SOL_SOCKET, SO_ACCEPTCONN, &accepts, &bytes) == 0;
  if (!known || domain != AF_UNIX || accepts == 0) {
    fail_setup("WG_UAPI_FD: descriptor {} is not a listening UNIX socket", listening.get());
  }
  const int flags = ::fcntl(listening.get(), F_GETFL);
  if (flags < 0 || ::fcntl(listening.get(), F_SETFL, flags | O_NONBLOCK) != 0 ||
      ::fcntl(listening.get(), F_SETFD, FD_CLOEXEC) != 0) {
    fail_setup("WG_UAPI_FD: fcntl(): {}", errno_text(errno));
  }
  // Two names of one file are one: /var/run may be a link to /run.
  const std::string path = path_of(directory, ifname);
  const FileId bound = file_at(bound_path(listening.get()));
  const FileId file = bound == file_at(path) ? bound : FileId{};
  return {std::move(listening), directory, ifname, file};
}

UapiSocket::UapiSocket(tun::Fd fd, const std::string& directory, const std::string& ifname,
                       FileId file)
    : fd_(std::move(fd)), directory_(directory), path_(path_of(directory, ifname)), file_(file) {
  inode_ = tun::Fd(::open(path_.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status{};
  if (inode_ && (::fstat(inode_.get(), &status) != 0 || id_of(status) != file_)) {
    inode_ = tun::Fd();
  }
}

UapiSocket::FileId UapiSocket::file_at(const std::string& path) noexcept {
  struct stat status{};
  if (path.empty() || ::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) {
    return {};
  }
  return id_of(status);
}

UapiSocket::FileId UapiSocket::id_of(const struct stat& status) noexcept {
  return {.device = status.st_dev, .inode = status.st_ino};
}

bool UapiSocket::file_is_ours() const noexcept {
  if (!has_file()) {
    return false;
  }
  struct stat status{};
  if (::lstat(path_.c_str(), &status) == 0) {
    return id_of(status) == file_;
  }
  // After a change of user the directory may be closed to us: then, whether it has a name at all.
  return errno == EACCES && inode_ && ::fstat(inode_.get(), &status) == 0 && status.st_nlink > 0;
}

void UapiSocket::remove_file() noexcept {
  if (fd_ && file_is_ours()) {
    ::unlink(path_.c_str());
  }
}

}  // namespace wgring::daemon

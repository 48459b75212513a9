// The socket file IFNAME.sock: made, taken over from a dead process, recognised, removed.
#pragma once

#include <string>

#include <sys/stat.h>
#include <sys/types.h>

#include "tun/fd.hpp"

namespace wgring::daemon {

inline constexpr const char* uapi_directory = "/var/run/wireguard";

// Owner: the process. Lifetime: the destructor removes the file if it is still this socket's own.
class UapiSocket {
 public:
  // Makes the directory (0755) where it is missing and listens under umask 077. The file appears
  // when the socket accepts already: a client that meets a refusal removes the file. A file that
  // nobody serves is replaced; a live one is a SetupError.
  [[nodiscard]] static UapiSocket listen(const std::string& directory, const std::string& ifname);
  // A listening socket that was handed over. The file of this name is its own only where the
  // socket is bound to that very file: another daemon's may stand there.
  [[nodiscard]] static UapiSocket adopt(tun::Fd listening, const std::string& directory,
                                        const std::string& ifname);
  UapiSocket(UapiSocket&& other) noexcept = default;
  UapiSocket& operator=(UapiSocket&&) = delete;
  ~UapiSocket() { remove_file(); }

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // Whether it ever had a file. One that has none is served all the same, and never watched.
  [[nodiscard]] bool has_file() const noexcept { return file_.inode != 0; }
  // False once it was removed or replaced by others, and when there was none.
  [[nodiscard]] bool file_is_ours() const noexcept;
  void remove_file() noexcept;

 private:
  // What tells one file from all others, whatever its name.
  struct FileId {
    dev_t device = 0;
    ino_t inode = 0;  // 0: no file
    friend bool operator==(const FileId&, const FileId&) = default;
  };

  UapiSocket(tun::Fd fd, const std::string& directory, const std::string& ifname, FileId file);
  // Of a socket file; none where there is no file or one of another kind.
  [[nodiscard]] static FileId file_at(const std::string& path) noexcept;
  [[nodiscard]] static FileId id_of(const struct stat& status) noexcept;

  tun::Fd fd_;
  std::string directory_;
  std::string path_;
  FileId file_;
  tun::Fd inode_;  // of the file, without the right to use it; none: there is no file
};

}  // namespace wgring::daemon

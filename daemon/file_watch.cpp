#include "daemon/file_watch.hpp"

#include <array>
#include <cerrno>

#include <sys/inotify.h>
#include <unistd.h>

#include "daemon/setup_error.hpp"

namespace wgring::daemon {

FileWatch::FileWatch(boost::asio::io_context& io, std::function<void()> on_change)
    : readable_(io), on_change_(std::move(on_change)) {}

void FileWatch::start(const std::string& directory) {
  const int fd = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (fd < 0) {
    fail_setup("inotify_init1(): {}; fs.inotify.max_user_instances may be too low",
               errno_text(errno));
  }
  readable_.assign(fd);
  constexpr std::uint32_t mask =
      IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF;
  if (::inotify_add_watch(fd, directory.c_str(), mask) < 0) {
    fail_setup("inotify_add_watch() on {}: {}; fs.inotify.max_user_watches may be too low",
               directory, errno_text(errno));
  }
  await_change();
}

void FileWatch::await_change() {
  readable_.async_wait(
      boost::asio::posix::stream_descriptor::wait_read,
      [this](const boost::system::error_code& error) {
        if (error) {
          return;
        }
        // What it was does not matter: the owner looks for itself.
        std::array<char, 4096> events;  // NOLINT: filled by the kernel
        while (::read(readable_.native_handle(), events.data(), events.size()) > 0) {
        }
        await_change();
        on_change_();
      });
}

}  // namespace wgring::daemon

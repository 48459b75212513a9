// Tells when files of one directory come or go (inotify).
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <string>

namespace wgring::daemon {

// Owner: the process. Thread: the io_context's.
class FileWatch {
 public:
  FileWatch(boost::asio::io_context& io, std::function<void()> on_change);
  // From its return on no change is missed.
  void start(const std::string& directory);

 private:
  void await_change();

  boost::asio::posix::stream_descriptor readable_;
  std::function<void()> on_change_;
};

}  // namespace wgring::daemon

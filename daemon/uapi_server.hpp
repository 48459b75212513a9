// Serves the configuration socket: many clients at once, none of which can hold up another.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>

#include "daemon/config_target.hpp"
#include "daemon/uapi_values.hpp"

namespace wgring::daemon {

class UapiSession;

struct UapiLimits {
  std::size_t sessions_max = 1024;  // beyond: the longest idle one makes room
  // A request begun or a reply not yet read, without a byte of progress.
  std::chrono::milliseconds progress_timeout = std::chrono::seconds{60};
  // A connection between requests.
  std::chrono::milliseconds idle_timeout = std::chrono::minutes{30};
  // A `get` of at most so many peers shows one moment: it is read whole before the first byte is
  // sent. Not while the texts of all connections take so many bytes: then page by page.
  std::uint32_t whole_peers_max = 16 * 1024;
  std::size_t whole_text_bytes_max = std::size_t{64} << 20;
};

// Owner: the process. Thread: the io_context's. Lifetime: target and socket outlive the server;
// stop() before the destructor, then run the io_context until it has no more work.
class UapiServer {
 public:
  UapiServer(boost::asio::io_context& io, ConfigTarget& target, ScopeResolver resolver,
             const UapiLimits& limits = {});
  UapiServer(const UapiServer&) = delete;
  UapiServer& operator=(const UapiServer&) = delete;
  ~UapiServer();

  // Accepts on a duplicate of a listening UNIX socket.
  void start(int listening_fd);
  void stop();
  [[nodiscard]] std::size_t session_count() const noexcept { return sessions_.size(); }

 private:
  friend class UapiSession;
  using Sessions = std::list<std::shared_ptr<UapiSession>>;

  void accept_next();
  void accept_one();
  void on_accepted(boost::asio::local::stream_protocol::socket socket);
  void drop_longest_idle();
  void touch(UapiSession& session) noexcept;  // the most recently active is last
  void forget(UapiSession& session) noexcept;

  boost::asio::io_context& io_;
  ConfigTarget& target_;
  ScopeResolver resolver_;
  UapiLimits limits_;
  boost::asio::local::stream_protocol::acceptor acceptor_;
  boost::asio::steady_timer accept_pause_;
  Sessions sessions_;
  std::size_t text_bytes_ = 0;  // of all sessions that are open
  PeerPage page_;               // shared: filled and formatted within one handler
};

}  // namespace wgring::daemon

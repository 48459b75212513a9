#include "daemon/uapi_server.hpp"

#include <cerrno>
#include <new>

#include <fcntl.h>
#include <sys/socket.h>

#include "daemon/log.hpp"
#include "daemon/setup_error.hpp"
#include "daemon/uapi_session.hpp"
#include "tun/fd.hpp"

namespace wgring::daemon {
namespace {

namespace asio = boost::asio;
using Protocol = asio::local::stream_protocol;

// Out of descriptors or memory: the next accept would fail at once again.
constexpr std::chrono::milliseconds accept_pause{100};

}  // namespace

UapiServer::UapiServer(asio::io_context& io, ConfigTarget& target, ScopeResolver resolver,
                       const UapiLimits& limits)
    : io_(io),
      target_(target),
      resolver_(resolver),
      limits_(limits),
      acceptor_(io),
      accept_pause_(io) {}

// A timer that cannot be cancelled leaves nothing to do but to end.
// NOLINTNEXTLINE(bugprone-exception-escape)
UapiServer::~UapiServer() { stop(); }

void UapiServer::start(int listening_fd) {
  const int duplicate = ::fcntl(listening_fd, F_DUPFD_CLOEXEC, 3);
  if (duplicate < 0) {
    fail_setup("cannot duplicate the configuration socket: {}", errno_text(errno));
  }
  acceptor_.assign(Protocol(), duplicate);
  accept_next();
}

void UapiServer::stop() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  accept_pause_.cancel();
  while (!sessions_.empty()) {
    sessions_.front()->close();
  }
}

// Not async_accept(): that allocates where nobody could catch what it throws, and leaves the
// descriptor open for whoever is executed.
void UapiServer::accept_next() {
  acceptor_.async_wait(Protocol::acceptor::wait_read,
                       [this](const boost::system::error_code& error) {
                         if (error != asio::error::operation_aborted && acceptor_.is_open()) {
                           accept_one();
                         }
                       });
}

void UapiServer::accept_one() {
  tun::Fd accepted(
      ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  const int error = accepted ? 0 : errno;
  if (error == 0) {
    try {
      Protocol::socket socket(io_);
      boost::system::error_code refused;
      socket.assign(Protocol(), accepted.get(), refused);
      if (refused) {
        log_error("configuration socket: a connection was closed: {}", refused.message());
      } else {
        static_cast<void>(accepted.release());
        on_accepted(std::move(socket));
      }
    } catch (const std::bad_alloc&) {
      log_error("configuration socket: out of memory, a connection was closed");
    }
  }
  if (error == 0 || error == EAGAIN || error == EINTR) {
    accept_next();
    return;
  }
  if (error != ECONNABORTED) {
    log_error("configuration socket: {}", Error{.errno_value = error, .what = "accept()"});
    drop_longest_idle();
  }
  accept_pause_.expires_after(accept_pause);
  accept_pause_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled && acceptor_.is_open()) {
      accept_next();
    }
  });
}

void UapiServer::on_accepted(Protocol::socket socket) {
  if (sessions_.size() >= limits_.sessions_max) {
    drop_longest_idle();
  }
  const auto session = std::make_shared<UapiSession>(*this, std::move(socket));
  sessions_.push_back(session);
  session->start(std::prev(sessions_.end()));
}

// Connections between requests go first; the least recently active stand in front.
void UapiServer::drop_longest_idle() {
  for (const auto& session : sessions_) {
    if (session->idle()) {
      session->close();
      return;
    }
  }
  if (!sessions_.empty()) {
    sessions_.front()->close();
  }
}

void UapiServer::touch(UapiSession& session) noexcept {
  sessions_.splice(sessions_.end(), sessions_, session.place());
}

void UapiServer::forget(UapiSession& session) noexcept { sessions_.erase(session.place()); }

}  // namespace wgring::daemon

#include "daemon/uapi_session.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <cerrno>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "daemon/log.hpp"
#include "daemon/setup_error.hpp"
#include "daemon/uapi_server.hpp"

namespace wgring::daemon {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

void log_refusal(Verb verb, const Refusal& refusal) {
  const std::string_view name = verb == Verb::get ? "get" : verb == Verb::set ? "set" : "request";
  log_info("{} refused, nothing changed: line {}: {}{}{} ({})", name, refusal.line, refusal.key,
           refusal.key.empty() ? "" : ": ", refusal.what, errno_text(refusal.errno_value));
}

// Wipes what a page had of keys, also when memory is short.
class PageKeys {
 public:
  explicit PageKeys(PeerPage& page) : page_(page) {}
  PageKeys(const PageKeys&) = delete;
  PageKeys& operator=(const PageKeys&) = delete;
  ~PageKeys() {
    for (noise::PeerStatus& peer : page_.peers) {
      peer.preshared_key.wipe();
    }
  }

 private:
  PeerPage& page_;
};

}  // namespace

UapiSession::UapiSession(UapiServer& server, asio::local::stream_protocol::socket socket)
    : server_(server), socket_(std::move(socket)), timer_(server.io_), parser_(server.resolver_) {}

UapiSession::~UapiSession() { wipe_buffer(); }

// What was not parsed may hold keys as well.
void UapiSession::wipe_buffer() noexcept {
  crypto::wipe({reinterpret_cast<std::uint8_t*>(buffer_.data()), buffer_.size()});  // NOLINT: bytes
}

void UapiSession::start(Place place) {
  place_ = place;
  attempt([this] { read_more(); });
}

// What a handler does. Where memory is wanting, its own connection ends by that.
template <typename Work>
void UapiSession::attempt(Work work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
    close();
    log_error("configuration socket: out of memory, a connection was closed");
  }
}

void UapiSession::close() {
  if (closed_) {
    return;
  }
  closed_ = true;
  const auto alive = shared_from_this();
  server_.forget(*this);
  server_.text_bytes_ -= std::exchange(text_bytes_, 0);
  timer_.cancel();
  wipe_buffer();  // before the other end can see that it is over
  error_code ignored;
  socket_.close(ignored);
  if (!writing_) {
    texts_.clear();
  }
}

void UapiSession::read_more() {
  restart_timer();
  socket_.async_read_some(asio::buffer(buffer_),
                          [self = shared_from_this()](const error_code& error, std::size_t bytes) {
                            if (self->closed_) {
                              return;
                            }
                            if (error) {
                              self->attempt([&] { self->on_end_of_input(); });
                              return;
                            }
                            self->server_.touch(*self);
                            self->unread_first_ = 0;
                            self->unread_end_ = bytes;
                            self->attempt([&] { self->take_unread(); });
                          });
}

// Parses what was read up to the end of a request, then answers; on_written() comes back here.
void UapiSession::take_unread() {
  const std::string_view unread{buffer_.data() + unread_first_, unread_end_ - unread_first_};
  const UapiParser::Fed fed = parser_.feed(unread);
  crypto::wipe({reinterpret_cast<std::uint8_t*>(buffer_.data()) + unread_first_,  // NOLINT: bytes
                fed.taken_bytes});
  unread_first_ += fed.taken_bytes;
  if (fed.progress == UapiParser::Progress::more) {
    read_more();
    return;
  }
  closing_ = fed.progress == UapiParser::Progress::broken;
  answer();
}

// Half a request is no request: nothing of it was applied.
void UapiSession::on_end_of_input() {
  if (parser_.idle()) {
    close();
    return;
  }
  log_info("configuration socket: a request ended before its blank line, nothing changed");
  closing_ = true;
  reply(EPROTO, parser_.verb() == Verb::get ? ErrnoSign::positive : ErrnoSign::negative);
}

void UapiSession::answer() {
  const Verb verb = parser_.verb();
  if (const Refusal* const refusal = parser_.refusal()) {
    log_refusal(verb, *refusal);
    reply(refusal->errno_value, verb == Verb::get ? ErrnoSign::positive : ErrnoSign::negative);
  } else if (verb == Verb::set) {
    answer_set();
  } else {
    answer_get();
  }
}

// Room for the answer first: for want of it a set that was applied would go without one.
void UapiSession::answer_set() {
  TextBuffer& text = add_text(errno_text_bytes_max);
  const SetRequest request = parser_.take_set();
  const Status applied = server_.target_.apply(request);
  if (!applied) {
    const bool port = request.listen_port && applied.error().errno_value == EADDRINUSE;
    log_info("set refused, nothing changed: {}{}",
             port ? fmt::format("listen_port={}: ", *request.listen_port) : "", applied.error());
  }
  append_errno(text, applied ? 0 : applied.error().errno_value, ErrnoSign::negative);
  streaming_ = false;
  write_text();
}

// A `set` comes between two handlers: what one of them reads is of one moment.
void UapiSession::answer_get() {
  DeviceStatus status;
  server_.target_.read_device(status);
  append_device(add_text(device_text_bytes_max), status);
  after_serial_ = 0;
  removals_ = status.removals;
  streaming_ = true;
  if (status.peer_count <= server_.limits_.whole_peers_max) {
    while (streaming_ && server_.text_bytes_ < server_.limits_.whole_text_bytes_max) {
      add_page();
    }
  }
  write_text();
}

// Between two pages a set may have been applied. Peers that it removed and added again would be
// shown twice, or not at all: then the reply ends with an error, and the client asks again.
void UapiSession::add_page() {
  PeerPage& page = server_.page_;
  const PageKeys keys(page);
  server_.target_.read_peers(after_serial_, page);
  const bool complete = page.removals == removals_;
  TextBuffer& text = add_text(page_text_bytes_max(page) + errno_text_bytes_max);
  if (complete) {
    append_page(text, page);
    after_serial_ = page.peer_count > 0 ? page.peers[page.peer_count - 1].serial : after_serial_;
  }
  if (!complete) {
    log_info("get ended early: peers were removed while it was read");
  }
  if (!complete || page.last) {
    append_errno(text, complete ? 0 : EAGAIN, ErrnoSign::positive);
    streaming_ = false;
  }
}

void UapiSession::reply(int errno_value, ErrnoSign sign) {
  append_errno(add_text(errno_text_bytes_max), errno_value, sign);
  streaming_ = false;
  write_text();
}

TextBuffer& UapiSession::add_text(std::size_t bytes) {
  TextBuffer& text = texts_.emplace_back();
  text.restart(bytes);
  text_bytes_ += bytes;
  server_.text_bytes_ += bytes;
  return text;
}

void UapiSession::drop_text() noexcept {
  text_bytes_ -= texts_.front().capacity_bytes();
  server_.text_bytes_ -= texts_.front().capacity_bytes();
  texts_.pop_front();
}

void UapiSession::write_text() {
  writing_ = true;
  restart_timer();
  const std::string_view rest = texts_.front().view().substr(written_bytes_);
  socket_.async_write_some(asio::buffer(rest.data(), rest.size()),
                           [self = shared_from_this()](const error_code& error, std::size_t bytes) {
                             self->attempt([&] { self->on_written(error, bytes); });
                           });
}

void UapiSession::on_written(const error_code& error, std::size_t bytes) {
  written_bytes_ += bytes;
  if (!error && !closed_ && written_bytes_ < texts_.front().view().size()) {
    write_text();
    return;
  }
  writing_ = false;
  written_bytes_ = 0;
  if (closed_) {
    texts_.clear();
    return;
  }
  drop_text();
  if (error || (closing_ && !streaming_ && texts_.empty())) {
    close();
    return;
  }
  server_.touch(*this);
  on_text_written();
}

void UapiSession::on_text_written() {
  if (texts_.empty() && streaming_) {
    add_page();
  }
  if (!texts_.empty()) {
    write_text();
    return;
  }
  parser_.reset();
  if (unread_first_ < unread_end_) {
    take_unread();
  } else {
    read_more();
  }
}

// A read or a write that makes no progress ends here.
void UapiSession::restart_timer() {
  timer_.expires_after(idle() ? server_.limits_.idle_timeout : server_.limits_.progress_timeout);
  timer_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    // The wait may have ended just before the timer was moved on.
    if (!error && self && self->timer_.expiry() <= asio::steady_timer::clock_type::now()) {
      self->close();
    }
  });
}

}  // namespace wgring::daemon

// One connection to the configuration socket.
//
//   reading --request complete--> applying (set, at once) or streaming (get, whole or by pages)
//      ^                                   |
//      +-------- reply written ------------+         broken, timed out, gone: closed
#pragma once

#include <array>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <list>
#include <memory>

#include "daemon/text_buffer.hpp"
#include "daemon/uapi_format.hpp"
#include "daemon/uapi_parser.hpp"

namespace wgring::daemon {

class UapiServer;

// Owner: the server's list, and each operation in flight. Order: requests of one connection are
// answered one by one, in the order they came; nothing is read while a reply is being written, so
// a client that does not read costs one reply: one page of it, when it is a large one.
class UapiSession : public std::enable_shared_from_this<UapiSession> {
 public:
  using Place = std::list<std::shared_ptr<UapiSession>>::iterator;

  UapiSession(UapiServer& server, boost::asio::local::stream_protocol::socket socket);
  UapiSession(const UapiSession&) = delete;
  UapiSession& operator=(const UapiSession&) = delete;
  ~UapiSession();

  void start(Place place);
  // Idempotent; operations in flight end with an error and drop their hold on the session.
  void close();
  [[nodiscard]] bool idle() const noexcept { return !writing_ && parser_.idle(); }
  [[nodiscard]] Place place() const noexcept { return place_; }

 private:
  static constexpr std::size_t read_bytes_max = 16 * 1024;

  template <typename Work>
  void attempt(Work work);
  void read_more();
  void take_unread();
  void on_end_of_input();
  void answer();
  void answer_set();
  void answer_get();
  void add_page();
  void reply(int errno_value, ErrnoSign sign);
  [[nodiscard]] TextBuffer& add_text(std::size_t bytes);
  void drop_text() noexcept;
  void wipe_buffer() noexcept;
  void write_text();
  void on_written(const boost::system::error_code& error, std::size_t bytes);
  void on_text_written();
  void restart_timer();

  UapiServer& server_;
  boost::asio::local::stream_protocol::socket socket_;
  boost::asio::steady_timer timer_;
  Place place_;
  UapiParser parser_;
  std::array<char, read_bytes_max> buffer_{};
  std::size_t unread_first_ = 0;  // buffer_[unread_first_, unread_end_) is not parsed yet
  std::size_t unread_end_ = 0;
  std::deque<TextBuffer> texts_;   // to be written, the first one now
  std::size_t text_bytes_ = 0;     // their share of the server's count
  std::size_t written_bytes_ = 0;  // of the first one
  std::uint64_t after_serial_ = 0;
  std::uint64_t removals_ = 0;  // when the reply was begun
  bool streaming_ = false;
  bool writing_ = false;
  bool closing_ = false;  // after the reply that is being written
  bool closed_ = false;
};

}  // namespace wgring::daemon

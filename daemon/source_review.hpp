// SourceReview: after a change of routes, which sticky sources are still right?
//
// The kernel's module finds out packet by packet. Here the control thread asks for all peers, page
// by page, and does what else there is to do between two pages.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "daemon/interface.hpp"
#include "tun/route_question.hpp"

namespace wgring::daemon {

// Owner: the process. Thread: the io_context's. Lifetime: the interface outlives it.
class SourceReview {
 public:
  // Fails the set-up when there is no socket to ask by.
  SourceReview(boost::asio::io_context& io, Interface& interface);
  SourceReview(const SourceReview&) = delete;
  SourceReview& operator=(const SourceReview&) = delete;
  ~SourceReview() = default;

  // While it goes on: begins again at its end, for the peers that had their turn already.
  void begin();

 private:
  void review_page();

  Interface& interface_;
  tun::RouteQuestion question_;
  boost::asio::steady_timer pause_;
  SourceWalk walk_;
  bool going_on_ = false;
  bool again_ = false;
};

}  // namespace wgring::daemon

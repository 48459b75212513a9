#include "daemon/source_review.hpp"

#include <chrono>
#include <utility>

#include "daemon/setup_error.hpp"

namespace wgring::daemon {
namespace {

// A page takes some 4 ms. Where routes never come to rest, and peers are many, the rest of the
// machine still has the greater part of the processor.
constexpr std::chrono::milliseconds pause_between_pages{10};

tun::RouteQuestion open_question() {
  Result<tun::RouteQuestion> opened = tun::RouteQuestion::open();
  if (!opened) {
    fail_setup("{}", opened.error());
  }
  return std::move(*opened);
}

}  // namespace

SourceReview::SourceReview(boost::asio::io_context& io, Interface& interface)
    : interface_(interface), question_(open_question()), pause_(io) {}

void SourceReview::begin() {
  if (going_on_) {
    again_ = true;
    return;
  }
  going_on_ = true;
  walk_ = {};
  review_page();
}

void SourceReview::review_page() {
  const bool ended = interface_.review_sources(
      walk_, [this](const tun::RouteQuery& query) { return question_.ask(query); });
  if (ended) {
    walk_ = {};
    going_on_ = std::exchange(again_, false);
  }
  if (going_on_) {
    pause_.expires_after(pause_between_pages);
    pause_.async_wait([this](const boost::system::error_code& error) {
      if (!error) {
        review_page();
      }
    });
  }
}

}  // namespace wgring::daemon

#include "daemon/source_review.hpp"

#include <boost/asio/post.hpp>
#include <utility>

#include "daemon/setup_error.hpp"

namespace wgring::daemon {
namespace {

tun::RouteQuestion open_question() {
  Result<tun::RouteQuestion> opened = tun::RouteQuestion::open();
  if (!opened) {
    fail_setup("{}", error_text(opened.error()));
  }
  return std::move(*opened);
}

}  // namespace

SourceReview::SourceReview(boost::asio::io_context& io, Interface& interface)
    : io_(io), interface_(interface), question_(open_question()) {}

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
    boost::asio::post(io_, [this] { review_page(); });
  }
}

}  // namespace wgring::daemon

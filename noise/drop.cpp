#include "noise/drop.hpp"

namespace wgring::noise {

std::string_view drop_name(Drop reason) noexcept {
  switch (reason) {
    case Drop::malformed:
      return "malformed";
    case Drop::bad_mac1:
      return "bad_mac1";
    case Drop::handshake_queue_full:
      return "handshake_queue_full";
    case Drop::around_door:
      return "around_door";
    case Drop::rate_limited:
      return "rate_limited";
    case Drop::cookie_sent:
      return "cookie_sent";
    case Drop::bad_handshake:
      return "bad_handshake";
    case Drop::bad_cookie_reply:
      return "bad_cookie_reply";
    case Drop::no_identity:
      return "no_identity";
    case Drop::unknown_index:
      return "unknown_index";
    case Drop::expired_key:
      return "expired_key";
    case Drop::bad_tag:
      return "bad_tag";
    case Drop::replayed:
      return "replayed";
    case Drop::bad_inner:
      return "bad_inner";
    case Drop::wrong_source:
      return "wrong_source";
    case Drop::no_route:
      return "no_route";
    case Drop::no_endpoint:
      return "no_endpoint";
    case Drop::staged_overflow:
      return "staged_overflow";
    case Drop::staged_abandoned:
      return "staged_abandoned";
    case Drop::no_buffer:
      return "no_buffer";
    case Drop::no_entropy:
      return "no_entropy";
    case Drop::too_long:
      return "too_long";
    case Drop::link_down:
      return "link_down";
    case Drop::count:
      break;
  }
  return {};
}

}  // namespace wgring::noise

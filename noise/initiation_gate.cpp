#include "noise/initiation_gate.hpp"

#include "noise/messages.hpp"

namespace wgring::noise {

std::optional<Drop> InitiationGate::refuse(Bytes datagram, const SocketAddress& source, Instant now,
                                           MutableBytesOf<CookieReplyLayout::size> reply) noexcept {
  const std::optional<Drop> refused = judge(datagram, source, now, reply);
  if (refused) {
    drops_.add(*refused);
  }
  return refused;
}

std::optional<std::uint32_t> InitiationGate::marked_index(Bytes datagram) const noexcept {
  const std::optional<std::uint32_t> index = receiver_index_of(classify(datagram), datagram);
  return index && mark_.is_on(*index) ? index : std::nullopt;
}

std::optional<Drop> InitiationGate::judge(Bytes datagram, const SocketAddress& source, Instant now,
                                          MutableBytesOf<CookieReplyLayout::size> reply) noexcept {
  const MessageType type = classify(datagram);
  if (!source.answerable()) {
    return Drop::malformed;
  }
  if (type != MessageType::initiation) {
    const std::optional<std::uint32_t> index = receiver_index_of(type, datagram);
    return index && !mark_.is_on(*index) ? Drop::unknown_index : Drop::malformed;
  }
  if (!ours_) {
    return Drop::no_identity;
  }
  if (!mac1_valid(datagram, *ours_)) {
    return Drop::bad_mac1;
  }
  return under_load(now) ? cookies_.refuse(datagram, source, *ours_, now, reply) : std::nullopt;
}

// Of one more whose mac1 is valid. For a second at least, and while as many come in each second:
// cookies keep those away whose number is the load, and would else end it.
bool InitiationGate::under_load(Instant now) noexcept {
  arrived_ += 1;
  if (now < loaded_until_) {
    return true;
  }
  const bool goes_on = loaded_until_ != Instant::min() && now - loaded_until_ < under_load_hold &&
                       arrived_ >= under_load_handshakes;
  if (!goes_on && cookieless_.take(now)) {
    loaded_until_ = Instant::min();
    return false;
  }
  begin_load(now);
  return true;
}

}  // namespace wgring::noise

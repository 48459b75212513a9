#include "tests/load/prover.hpp"

#include <algorithm>
#include <utility>

#include "crypto/xaead.hpp"

namespace load {
namespace {

constexpr std::size_t ip_at = 14;
constexpr std::size_t udp_at = ip_at + 20;
constexpr std::size_t reply_at = udp_at + 8;
constexpr std::size_t reply_bytes = 64;

std::uint32_t load_be32(const std::uint8_t* at) noexcept {
  return (std::uint32_t{at[0]} << 24U) | (std::uint32_t{at[1]} << 16U) |
         (std::uint32_t{at[2]} << 8U) | at[3];
}

}  // namespace

Prover::Prover(Frames& frames, std::vector<Initiation> messages, const Key& receiver,
               std::uint32_t first_source, std::size_t sources)
    : frames_(frames),
      messages_(std::move(messages)),
      cookie_key_(labelled_key("cookie--", receiver)),
      first_source_(first_source),
      sources_(sources),
      received_(Frames::batch_frames) {}

std::size_t Prover::collect(double seconds) {
  const double end = now_s() + seconds;
  while (proven_ < sources_.size() && now_s() < end) {
    ask();
    take_replies();
  }
  return proven_;
}

// A batch from those without a cookie; few sources ask again and again, which keeps the load up.
void Prover::ask() {
  std::size_t asked = 0;
  for (std::size_t looked = 0; asked < Frames::batch_frames; ++looked) {
    const std::size_t source = next_;
    next_ = (next_ + 1) % sources_.size();
    if (!sources_[source].proven || looked > 4 * sources_.size()) {
      frames_.add(first_source_ + static_cast<std::uint32_t>(source), message_of(source));
      asked += 1;
    }
  }
}

void Prover::take_replies() {
  std::array<iovec, Frames::batch_frames> vectors{};
  std::array<mmsghdr, Frames::batch_frames> messages{};
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    vectors[i] = {.iov_base = received_[i].data(), .iov_len = received_[i].size()};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  int got = 0;
  do {
    got = ::recvmmsg(frames_.fd(), messages.data(), messages.size(), MSG_DONTWAIT, nullptr);
    for (int i = 0; i < got; ++i) {
      const auto at = static_cast<std::size_t>(i);
      take_reply(Bytes{received_[at]}.first(messages[at].msg_len));
    }
  } while (got == static_cast<int>(messages.size()));
}

void Prover::take_reply(Bytes frame) {
  if (frame.size() != reply_at + reply_bytes || frame[reply_at] != 3) {
    return;
  }
  const std::size_t source = load_be32(&frame[ip_at + 16]) - first_source_;
  if (source >= sources_.size() || sources_[source].proven) {
    return;
  }
  const Bytes reply = frame.subspan(reply_at);
  const Initiation& asked = message_of(source);
  std::array<std::uint8_t, 24> nonce{};
  std::ranges::copy(reply.subspan(8, nonce.size()), nonce.begin());
  std::array<std::uint8_t, 16> cookie{};
  if (wgring::crypto::xaead_open(cookie, reply.subspan(32), Bytes{asked}.subspan(mac1_at, 16),
                                 cookie_key_, nonce)) {
    wgring::crypto::mac(sources_[source].mac2, cookie, Bytes{asked}.first(mac2_at));
    sources_[source].proven = true;
    proven_ += 1;
  }
}

bool Prover::flood_round() {
  for (std::size_t source = 0; source < sources_.size(); ++source) {
    if (sources_[source].proven) {
      frames_.add(first_source_ + static_cast<std::uint32_t>(source),
                  Bytes{message_of(source)}.first(mac2_at), sources_[source].mac2);
    }
  }
  return proven_ > 0;
}

}  // namespace load

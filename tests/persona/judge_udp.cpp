// UDP sends: a control message SOL_UDP, UDP_SEGMENT makes a datagram a train.
//
//   sendmmsg  [plain] [plain] [train] [plain]
//              sent by us      EIO     not looked at: the kernel, too, stops at the first error
#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "tests/persona/judge.hpp"
#include "tests/persona/target.hpp"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace wgring::persona {
namespace {

constexpr std::uint64_t messages_max = 1024;  // UIO_MAXIOV
constexpr std::size_t control_bytes_max = 4096;
constexpr int unknown_level = 0x7fff;  // the kernel passes over what is not for it

std::uint64_t address_of(const void* there) { return reinterpret_cast<std::uint64_t>(there); }

bool is_loopback(const Target& target, const msghdr& message) {
  sockaddr_storage name{};
  const std::size_t bytes = std::min<std::size_t>(message.msg_namelen, sizeof name);
  if (message.msg_name == nullptr || !target.read(address_of(message.msg_name), &name, bytes)) {
    return false;
  }
  if (name.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &name, sizeof v4);
    return ntohl(v4.sin_addr.s_addr) >> 24U == IN_LOOPBACKNET;
  }
  sockaddr_in6 v6{};
  std::memcpy(&v6, &name, sizeof v6);
  return name.ss_family == AF_INET6 &&
         (IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) ||
          (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) && v6.sin6_addr.s6_addr[12] == IN_LOOPBACKNET));
}

// The control message that makes a train of a datagram, in a copy of ours; nullptr: there is none.
cmsghdr* find_segmentation(msghdr& own) {
  for (cmsghdr* one = CMSG_FIRSTHDR(&own); one != nullptr; one = CMSG_NXTHDR(&own, one)) {
    std::uint16_t segment_bytes = 0;
    if (one->cmsg_level == SOL_UDP && one->cmsg_type == UDP_SEGMENT &&
        one->cmsg_len >= CMSG_LEN(sizeof segment_bytes)) {
      std::memcpy(&segment_bytes, CMSG_DATA(one), sizeof segment_bytes);
      return segment_bytes != 0 ? one : nullptr;
    }
  }
  return nullptr;
}

bool is_train(const Target& target, const msghdr& message) {
  if (message.msg_control == nullptr) {
    return false;
  }
  auto control = target.read(address_of(message.msg_control),
                             std::min<std::size_t>(message.msg_controllen, control_bytes_max));
  if (!control) {
    return false;
  }
  msghdr own{};
  own.msg_control = control->data();
  own.msg_controllen = control->size();
  return find_segmentation(own) != nullptr;
}

// Copies of messages of the target, ready to be sent from here.
class Copies {
 public:
  [[nodiscard]] bool add(const Target& target, std::span<const mmsghdr> there) {
    return std::ranges::all_of(there, [&](const mmsghdr& one) { return add(target, one); });
  }

  [[nodiscard]] std::vector<mmsghdr>& messages() noexcept { return messages_; }

 private:
  [[nodiscard]] bool add(const Target& target, const mmsghdr& there) {
    mmsghdr own = there;
    msghdr& header = own.msg_hdr;
    header.msg_name = copy(target, header.msg_name, header.msg_namelen);
    header.msg_control = copy(target, header.msg_control, header.msg_controllen);
    auto pieces = target.read_array<iovec>(address_of(header.msg_iov), header.msg_iovlen);
    if (!pieces) {
      return false;
    }
    pieces_.push_back(std::move(*pieces));
    for (iovec& piece : pieces_.back()) {
      piece.iov_base = copy(target, piece.iov_base, piece.iov_len);
    }
    header.msg_iov = pieces_.back().data();
    messages_.push_back(own);
    return complete_;
  }

  void* copy(const Target& target, const void* there, std::size_t bytes) {
    if (there == nullptr || bytes == 0) {
      return nullptr;
    }
    auto own = target.read(address_of(there), bytes);
    if (!own) {
      complete_ = false;
      return nullptr;
    }
    bytes_.push_back(std::move(*own));
    return bytes_.back().data();
  }

  std::vector<mmsghdr> messages_;
  std::deque<std::vector<iovec>> pieces_;
  std::deque<std::vector<std::byte>> bytes_;
  bool complete_ = true;
};

// The messages of a sendmsg(2) or sendmmsg(2), empty when they cannot be read.
std::vector<mmsghdr> messages_of(const Target& target, const Call& call) {
  if (call.number == SYS_sendmsg) {
    const auto message = target.read_array<msghdr>(call.arguments[1], 1);
    return message ? std::vector{mmsghdr{message->front(), 0}} : std::vector<mmsghdr>{};
  }
  const std::uint64_t count = std::min(call.arguments[2] & 0xffffffff, messages_max);
  return target.read_array<mmsghdr>(call.arguments[1], static_cast<std::size_t>(count))
      .value_or(std::vector<mmsghdr>{});
}

// The result of the call after these were sent.
Verdict report_sent(const Target& target, const Call& call, std::span<const mmsghdr> own) {
  if (call.number == SYS_sendmsg) {
    return Verdict::returns(own.front().msg_len);
  }
  for (std::size_t i = 0; i < own.size(); ++i) {
    const std::uint64_t at = call.arguments[1] + i * sizeof(mmsghdr) + offsetof(mmsghdr, msg_len);
    if (!target.write(at, &own[i].msg_len, sizeof own[i].msg_len)) {
      return Verdict::fails_with(EFAULT);
    }
  }
  return Verdict::returns(static_cast<std::int64_t>(own.size()));
}

// Does what the kernel would have done with these.
Verdict send_here(const Target& target, const Call& call, std::span<mmsghdr> own) {
  const OwnFd socket = target.take(static_cast<int>(call.arguments[0]));
  if (!socket) {
    return Verdict::fails_with(errno);
  }
  const std::uint64_t flags = call.arguments[call.number == SYS_sendmsg ? 2 : 3];
  const int sent = ::sendmmsg(socket.get(), own.data(), static_cast<unsigned>(own.size()),
                              static_cast<int>(flags) | MSG_NOSIGNAL);
  if (sent < 0) {
    return Verdict::fails_with(errno);
  }
  return report_sent(target, call, own.first(static_cast<std::size_t>(sent)));
}

enum class Loopback : std::uint8_t { refused_too, passes };

Verdict judge_send(const Call& call, Loopback loopback) {
  const Target target(call.thread);
  const std::vector<mmsghdr> messages = messages_of(target, call);
  const auto first = std::ranges::find_if(messages, [&](const mmsghdr& message) {
    return is_train(target, message.msg_hdr) &&
           (loopback == Loopback::refused_too || !is_loopback(target, message.msg_hdr));
  });
  if (first == messages.end()) {
    return Verdict::carry_on();
  }
  if (first == messages.begin()) {
    return Verdict::fails_with(EIO);
  }
  Copies copies;
  return copies.add(target, {messages.begin(), first}) ? send_here(target, call, copies.messages())
                                                       : Verdict::fails_with(EFAULT);
}

}  // namespace

Verdict refuse_gso_send(const Call& call) { return judge_send(call, Loopback::refused_too); }

Verdict refuse_gso_send_on_wire(const Call& call) { return judge_send(call, Loopback::passes); }

Verdict send_trains_whole(const Call& call) {
  const Target target(call.thread);
  const std::vector<mmsghdr> messages = messages_of(target, call);
  if (std::ranges::none_of(
          messages, [&](const mmsghdr& message) { return is_train(target, message.msg_hdr); })) {
    return Verdict::carry_on();
  }
  Copies copies;
  if (!copies.add(target, messages)) {
    return Verdict::fails_with(EFAULT);
  }
  for (mmsghdr& own : copies.messages()) {
    if (cmsghdr* const segmentation = find_segmentation(own.msg_hdr)) {
      segmentation->cmsg_level = unknown_level;
    }
  }
  return send_here(target, call, copies.messages());
}

}  // namespace wgring::persona

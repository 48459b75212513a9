#include "daemon/link_watch.hpp"

#include <array>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "daemon/log.hpp"
#include "daemon/setup_error.hpp"

namespace wgring::daemon {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::milliseconds ask_interval = 1s;
// A route change rarely comes alone, and one answer serves them all.
constexpr std::chrono::milliseconds route_pause = 200ms;
constexpr int receive_buffer_bytes = 1 << 20;
// A burst may not keep the configuration socket waiting.
constexpr int receives_per_turn = 64;

constexpr unsigned mask_of(unsigned group) noexcept { return 1U << (group - 1); }
// A kernel that does not have one of them (next hops: before 5.3) leaves it out.
// None of IPv6: how a peer is reached there does not decide about its source.
constexpr unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE |
                            mask_of(RTNLGRP_IPV4_RULE) | mask_of(RTNLGRP_NEXTHOP);
// Of a link: with one of them routes come and go.
constexpr unsigned flags_of_routes = IFF_UP | IFF_RUNNING;

// Attribute callback; `to` is a std::optional<std::uint32_t>.
int take_mtu(const nlattr* attribute, void* to) {
  if (const auto mtu_bytes = tun::number_in(attribute, IFLA_MTU)) {
    *static_cast<std::optional<std::uint32_t>*>(to) = mtu_bytes;
  }
  return MNL_CB_OK;
}

// Nothing: it is about something else, or is what a bridge says of its ports.
std::optional<ifinfomsg> link_of(const nlmsghdr& message) {
  const bool is_link = message.nlmsg_type == RTM_NEWLINK || message.nlmsg_type == RTM_DELLINK;
  if (!is_link || ::mnl_nlmsg_get_payload_len(&message) < sizeof(ifinfomsg)) {
    return std::nullopt;
  }
  const auto* const link = static_cast<const ifinfomsg*>(::mnl_nlmsg_get_payload(&message));
  return link->ifi_family == AF_UNSPEC ? std::optional{*link} : std::nullopt;
}

}  // namespace

LinkWatch::LinkWatch(asio::io_context& io, tun::TunDevice& device, LinkEvents events)
    : device_(device),
      events_(std::move(events)),
      readable_(io),
      writable_(io),
      ask_timer_(io),
      route_timer_(io),
      hear_timer_(io) {}

LinkWatch::~LinkWatch() {
  if (readable_.is_open()) {
    static_cast<void>(readable_.release());  // the descriptor is mnl_socket's to close
  }
}

void LinkWatch::start() {
  socket_.reset(::mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket_ == nullptr) {
    fail_setup("socket(NETLINK_ROUTE): {}", errno_text(errno));
  }
  const int fd = ::mnl_socket_get_fd(socket_.get());
  static_cast<void>(::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer_bytes,
                                 sizeof receive_buffer_bytes));
  if (::mnl_socket_bind(socket_.get(), groups, MNL_SOCKET_AUTOPID) != 0) {
    fail_setup("bind() of the netlink socket: {}", errno_text(errno));
  }
  readable_.assign(fd);
  find_home();
  ask();
  await_up();
  await_message();
}

void LinkWatch::await_message() {
  readable_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const error_code& error) {
    if (!error && !gone_) {
      read_messages() ? await_message() : await_message_later();
    }
  });
}

// What fails may fail again at once, and stays readable.
void LinkWatch::await_message_later() {
  hear_timer_.expires_after(ask_interval);
  hear_timer_.async_wait([this](const error_code& error) {
    if (!error && !gone_) {
      await_message();
    }
  });
}

bool LinkWatch::read_messages() {
  // Link messages with statistics and attributes of every kind take a few kilobytes.
  alignas(nlmsghdr) std::array<char, 32 * 1024> buffer;  // NOLINT: filled by the kernel
  const auto each = [](const nlmsghdr* message, void* at) {
    auto* const self = static_cast<LinkWatch*>(at);
    self->overrun_ ? self->on_old_message(*message) : self->on_message(*message);
    return MNL_CB_OK;
  };
  for (int i = 0; i < receives_per_turn && !gone_; ++i) {
    const ssize_t bytes = ::mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (bytes < 0) {
      if (errno == EAGAIN || errno == EINTR) {
        look_after_overrun();
        overrun_ = false;
        return true;
      }
      overrun_ = true;  // whatever it is, one of them may be lost
      if (errno != ENOBUFS && errno != ENOSPC) {
        look_after_overrun();
        return false;
      }
    } else {
      static_cast<void>(
          ::mnl_cb_run(buffer.data(), static_cast<std::size_t>(bytes), 0, 0, each, this));
    }
  }
  look_after_overrun();
  return true;
}

// Messages were lost or cut: all may have changed. What waits is older than what is seen now, and
// until it is read the kernel drops what comes, and does not say so again.
void LinkWatch::look_after_overrun() {
  if (overrun_ && !gone_) {
    note_route_change();
    others_.clear();
    find_home();
    ask();
    await_up();
  }
}

// That our link went down is an event also when it is up again by now.
void LinkWatch::on_old_message(const nlmsghdr& message) {
  const std::optional<ifinfomsg> link = link_of(message);
  const bool is_ours =
      link && at_home_ && static_cast<std::uint32_t>(link->ifi_index) == home_index_;
  if (is_ours && message.nlmsg_type == RTM_NEWLINK && (link->ifi_flags & IFF_UP) == 0) {
    report(Link::down);
  }
}

void LinkWatch::on_message(const nlmsghdr& message) {
  switch (message.nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return on_link_message(message);
    case RTM_NEWADDR:
    case RTM_DELADDR:
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
    case RTM_NEWRULE:
    case RTM_DELRULE:
    case RTM_NEWNEXTHOP:
    case RTM_DELNEXTHOP:
      return note_route_change();
    default:
      return;
  }
}

void LinkWatch::on_link_message(const nlmsghdr& message) {
  const std::optional<ifinfomsg> link = link_of(message);
  if (!link || gone_) {
    return;
  }
  const auto index = static_cast<std::uint32_t>(link->ifi_index);
  if (!at_home_ || index != home_index_) {
    on_other_link(index, message.nlmsg_type == RTM_DELLINK
                             ? std::nullopt
                             : std::optional{link->ifi_flags & flags_of_routes});
    return;
  }
  if (message.nlmsg_type == RTM_DELLINK) {
    on_left_home();
    return;
  }
  // The message and not the present state: down and up again in one instant is two events.
  report((link->ifi_flags & IFF_UP) != 0 ? Link::up : Link::down);
  std::optional<std::uint32_t> mtu_bytes;
  static_cast<void>(::mnl_attr_parse(&message, sizeof(ifinfomsg), take_mtu, &mtu_bytes));
  if (mtu_bytes) {
    report_mtu(*mtu_bytes);
  }
}

// With a link that goes down its IPv4 routes go without a word. Of a link that was not heard of
// before it is not known what it was.
void LinkWatch::on_other_link(std::uint32_t index, std::optional<unsigned> flags) {
  const auto known = others_.find(index);
  const bool same = known != others_.end() && flags == known->second;
  if (!same) {
    note_route_change();
  }
  if (flags) {
    others_.insert_or_assign(index, *flags);
  } else {
    others_.erase(index);
  }
}

// "Deleted" is also what is said of a link that was moved to another namespace.
void LinkWatch::on_left_home() {
  at_home_ = false;
  ask();
  await_up();
}

void LinkWatch::ask() {
  if (gone_) {
    return;
  }
  const Result<tun::TunState> state = device_.state();
  const Status named = device_.refresh_name();
  if (state == tun::TunState::gone || (!named && named.error().errno_value == ENODEV)) {
    report_gone();
    return;
  }
  if (!state || !named) {
    log_error("{} could not be asked, and is again in a second: {}", device_.name(),
              state ? named.error() : state.error());
    ask_again_later();
    return;
  }
  // The MTU first: what is sent as the link comes up is padded by it already.
  if (const Result<std::uint32_t> mtu_bytes = device_.mtu()) {
    report_mtu(*mtu_bytes);
  } else if (!told_of_mtu_) {
    told_of_mtu_ = true;
    log_info("the MTU of {} cannot be read any more and is taken to stay {}: {}", device_.name(),
             mtu_bytes_.value_or(0), mtu_bytes.error());
  }
  report(*state == tun::TunState::up ? Link::up : Link::down);
  if (!at_home_) {
    ask_again_later();
  }
}

void LinkWatch::ask_again_later() {
  ask_timer_.expires_after(ask_interval);
  ask_timer_.async_wait([this](const error_code& error) {
    if (!error) {
      find_home();
      ask();
      await_up();
    }
  });
}

// A TUN is writable only while its link is up, and newer kernels (5.2) tell when it becomes so:
// the first packets need not be lost to the second between two questions. Not while the link is
// up: each packet to be read would wake this thread.
void LinkWatch::await_up() {
  error_code ignored;
  writable_.close(ignored);
  if (at_home_ || gone_ || link_ != Link::down || no_room_) {
    return;
  }
  const int duplicate = ::fcntl(device_.fd(), F_DUPFD_CLOEXEC, 3);
  if (duplicate < 0) {
    return;  // the timer asks anyway
  }
  error_code refused;
  writable_.assign(duplicate, refused);
  if (refused) {
    ::close(duplicate);
    no_room_ = true;  // each further try would cost memory
    return;
  }
  writable_.async_wait(asio::posix::stream_descriptor::wait_write, [this](const error_code& error) {
    if (!error) {
      error_code closed;
      writable_.close(closed);  // and not armed again before the timer: it may be wrong
      ask();
    }
  });
}

void LinkWatch::find_home() {
  const bool is_there = device_.refresh_name().has_value();  // another may have the former name
  const Result<std::uint32_t> index = device_.interface_index();
  // A kernel that cannot tell (before 5.2) answers the index of the name in our own namespace.
  at_home_ = is_there && index.has_value() && device_.is_at_home();
  home_index_ = at_home_ ? *index : 0;
}

void LinkWatch::report(Link link) {
  if (link_ != link) {
    link_ = link;
    events_.on_link(link);
  }
}

void LinkWatch::report_mtu(std::uint32_t mtu_bytes) {
  if (mtu_bytes_ != mtu_bytes) {
    mtu_bytes_ = mtu_bytes;
    events_.on_mtu(mtu_bytes);
  }
}

void LinkWatch::report_gone() {
  if (!gone_) {
    gone_ = true;
    ask_timer_.cancel();
    route_timer_.cancel();
    hear_timer_.cancel();
    events_.on_gone();
  }
}

void LinkWatch::note_route_change() {
  if (route_change_pending_ || gone_) {
    return;
  }
  route_change_pending_ = true;
  route_timer_.expires_after(route_pause);
  route_timer_.async_wait([this](const error_code& error) {
    if (!error) {
      route_change_pending_ = false;
      events_.on_routes();
    }
  });
}

}  // namespace wgring::daemon

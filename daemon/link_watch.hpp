// What the kernel says about the interface, and about our IPv4 addresses and routes.
//
//   at home      the TUN is in our network namespace: netlink tells each change as it happens
//   away         it was moved to another one: netlink is silent, it is asked once a second, and
//                at once when the TUN descriptor of a link that is down becomes writable. No
//                socket of ours stays there, so that the other namespace can end
//   gone         it was deleted
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>

#include "daemon/interface.hpp"
#include "tun/netlink.hpp"
#include "tun/tun_device.hpp"

struct nlmsghdr;

namespace wgring::daemon {

struct LinkEvents {
  std::function<void(Link)> on_link;
  std::function<void(std::uint32_t mtu_bytes)> on_mtu;
  std::function<void()> on_routes;  // of IPv4; at most a few times per second
  std::function<void()> on_gone;    // once, the last one
};

// Owner: the process. Thread: the io_context's. Lifetime: the device outlives it.
class LinkWatch {
 public:
  LinkWatch(boost::asio::io_context& io, tun::TunDevice& device, LinkEvents events);
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;
  ~LinkWatch();

  // Subscribes, then reports the present state before it returns, or when the kernel tells it:
  // asked in vain, it is asked again in a second.
  void start();
  // Looks at the interface now: away from home a packet from it may tell of a change first.
  void ask();

 private:
  void await_message();
  void await_message_later();
  // False: the socket failed.
  [[nodiscard]] bool read_messages();
  void look_after_overrun();
  void on_message(const nlmsghdr& message);
  void on_old_message(const nlmsghdr& message);
  void on_link_message(const nlmsghdr& message);
  void on_other_link(std::uint32_t index, std::optional<unsigned> flags);  // none: it has gone
  void on_left_home();
  void ask_again_later();
  void await_up();
  void find_home();
  void report(Link link);
  void report_mtu(std::uint32_t mtu_bytes);
  void report_gone();
  void note_route_change();

  tun::TunDevice& device_;
  LinkEvents events_;
  tun::NetlinkSocket socket_;
  boost::asio::posix::stream_descriptor readable_;
  boost::asio::posix::stream_descriptor writable_;  // of the TUN; open only while away and down
  boost::asio::steady_timer ask_timer_;
  boost::asio::steady_timer route_timer_;
  boost::asio::steady_timer hear_timer_;
  bool route_change_pending_ = false;
  bool at_home_ = false;
  bool gone_ = false;
  bool no_room_ = false;          // epoll refused writable_ once; the timer asks anyway
  bool overrun_ = false;          // what waits in the socket is not to be believed
  bool told_of_mtu_ = false;      // that it cannot be read: away from home on a kernel before 5.2
  std::uint32_t home_index_ = 0;  // of the interface, while at home
  std::unordered_map<std::uint32_t, unsigned> others_;  // flags of other links, by index
  std::optional<Link> link_;                            // as reported last
  std::optional<std::uint32_t> mtu_bytes_;
};

}  // namespace wgring::daemon

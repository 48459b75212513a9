// Interface: the desired configuration, and how it reaches the shards; owns the UDP sockets.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "daemon/config_target.hpp"
#include "daemon/peer_updates.hpp"
#include "tun/route_question.hpp"
#include "tun/shards.hpp"
#include "tun/udp_group.hpp"

namespace wgring::daemon {

enum class Link : bool { down, up };

// How far a review of sticky sources has come. Serials are those of the shard.
struct SourceWalk {
  std::uint32_t shard = 0;
  std::uint64_t after_serial = 0;
};
// Nothing: the kernel did not say.
using RouteAsker = std::function<std::optional<tun::RouteAnswer>(const tun::RouteQuery&)>;

// Owner: the process. Thread: the control thread. Order: sockets exist only while the link is up
// (protocol 18); new ones are open before the shards let go of the old, which are closed last.
// Lifetime: the shards outlive it.
class Interface final : public ConfigTarget {
 public:
  Interface(tun::Shards& shards, tun::ReceiveRuns runs) noexcept : shards_(shards), runs_(runs) {}
  ~Interface() override;

  [[nodiscard]] Status apply(const SetRequest& request) override;
  void read_device(DeviceStatus& status) override;
  void read_peers(std::uint64_t after_serial, PeerPage& page) override;

  // A port that cannot be had is logged, and tried again by the next `set`, link change or retry.
  void set_link(Link link);
  // True while the link is up and no port could be had.
  [[nodiscard]] bool lacks_sockets() const noexcept {
    return link_ == Link::up && sockets_ == nullptr;
  }
  // Also while the door could not be had, for what may pass.
  [[nodiscard]] bool wants_retry() const noexcept { return lacks_sockets() || door_failed_; }
  void retry_sockets();
  void set_mtu(std::uint32_t mtu_bytes);

  // Addresses or routes of IPv4 changed: a page of peers is asked about, and who would no longer
  // leave by the interface it came in by, or not at all from that address, loses its sticky source.
  // True: that was the last page.
  [[nodiscard]] bool review_sources(SourceWalk& walk, const RouteAsker& ask);

 private:
  using Sockets = std::unique_ptr<tun::UdpGroup>;  // at a stable address: shards borrow them

  struct Prepared {
    Sockets sockets;
    bool marked = false;  // the present sockets carry the new mark already
  };
  class Preparation;

  [[nodiscard]] Result<Sockets> open_sockets(std::uint16_t port, std::uint32_t fwmark) const;
  [[nodiscard]] Result<Prepared> prepare(const SetRequest& request);
  void undo(const Prepared& prepared) noexcept;
  void commit(const SetRequest& request, Prepared prepared);
  void forget_sources();
  void use_sockets(Sockets sockets);
  void open_door() noexcept;
  void tell_no_door() const noexcept;
  [[nodiscard]] Status try_sockets();
  void reopen_sockets();
  [[nodiscard]] bool reserve(const SetRequest& request);
  [[nodiscard]] bool reserve_for(const AdditionBounds& bounds, bool replace_peers);
  [[nodiscard]] std::uint32_t count_new_peers(const SetRequest& request);
  void set_private_key(const crypto::Secret<32>& key);
  [[nodiscard]] std::optional<noise::MacKeys> mac_keys();
  void remove_all_peers();

  tun::Shards& shards_;
  tun::ReceiveRuns runs_;
  Sockets sockets_;
  Link link_ = Link::down;
  std::uint16_t listen_port_ = 0;  // 0: none chosen yet
  std::uint32_t fwmark_ = 0;
  std::uint64_t removals_ = 0;
  bool door_failed_ = false;
};

}  // namespace wgring::daemon

// TunDevice: the inner side of the tunnel, an IFF_TUN interface without packet information.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include <net/if.h>

#include "base/result.hpp"
#include "tun/fd.hpp"
#include "tun/offload/offloads.hpp"
#include "tun/offload/write_plan.hpp"

namespace wgring::tun {

enum class TunState : std::uint8_t { up, down, gone };

// Owner: the control thread; the engine reads and writes fd() meanwhile. The interface goes when
// the last descriptor of it is closed, unless someone made it persistent.
// Questions about the interface are asked in the namespace it is in now, which may not be ours.
class TunDevice {
 public:
  // Packets that wait to be read; as many as wait for a peer in the kernel's own device.
  static constexpr int queue_length = 1024;
  static constexpr std::uint32_t queues_max = 16;

  TunDevice() noexcept = default;

  // Creates the interface (mtu_default, queue_length), or attaches to a persistent one of that
  // name. Turns off those of `offloads` that this TUN does not have. Which of several queues a
  // packet comes to: see tun/steering.hpp.
  [[nodiscard]] static Result<TunDevice> create(std::string_view name, Offloads& offloads,
                                                std::uint32_t queues = 1) noexcept;
  // Takes over a descriptor that has been through TUNSETIFF already (WG_TUN_FD), with or without
  // IFF_VNET_HDR.
  [[nodiscard]] static Result<TunDevice> adopt(Fd fd, Offloads& offloads) noexcept;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  // Of a queue; 0 is fd().
  [[nodiscard]] int queue(std::uint32_t number) const noexcept {
    return number == 0 ? fd() : more_queues_[number - 1].get();
  }
  [[nodiscard]] VnetMode vnet() const noexcept { return vnet_; }
  // As of the last refresh_name(): an interface may be renamed.
  [[nodiscard]] std::string_view name() const noexcept { return std::string_view{name_.data()}; }
  // ENODEV: the interface is gone.
  [[nodiscard]] Status refresh_name() noexcept;

  // EXDEV: the interface has been moved to a namespace that this process may not ask.
  [[nodiscard]] Result<std::uint32_t> mtu() const noexcept;
  // At home only.
  [[nodiscard]] Status set_mtu(std::uint32_t mtu_bytes) noexcept;
  [[nodiscard]] Result<std::uint32_t> interface_index() const noexcept;
  // In our own namespace, or the kernel cannot tell (before 5.2).
  [[nodiscard]] bool is_at_home() const noexcept;
  // Needs no access to the interface's namespace. An error: this once the kernel did not say.
  [[nodiscard]] Result<TunState> state() const noexcept;

 private:
  [[nodiscard]] Status add_queues(ifreq& request, std::uint32_t queues) noexcept;
  [[nodiscard]] Status finish(Offloads& offloads) noexcept;
  [[nodiscard]] Status set_offloads(Offloads& offloads) noexcept;
  void set_queue_length(int packets) noexcept;
  [[nodiscard]] Status link_request(unsigned long request, ifreq& question) const noexcept;

  Fd fd_;
  std::array<Fd, queues_max - 1> more_queues_;
  VnetMode vnet_ = VnetMode::off;
  std::array<char, IFNAMSIZ> name_{};
};

}  // namespace wgring::tun

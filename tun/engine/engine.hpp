// The seam between the shard and the kernel: five verbs, the same for every engine.
//
//   arm     give the kernel what it needs to receive; packets of the last reap end here
//   submit  give the kernel what the core wants sent and delivered, at the latest with the next
//           wait() or reap()
//   reap    take what has arrived, never waiting
//   may_sleep / wait   until there is something to reap, the deadline, or a wake-up
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/fixed_vector.hpp"
#include "base/result.hpp"
#include "base/slot_pool.hpp"
#include "base/time.hpp"
#include "noise/batch.hpp"
#include "noise/outbox.hpp"
#include "tun/engine/counters.hpp"
#include "tun/engine/send_queue.hpp"
#include "tun/offload/join_gate.hpp"
#include "tun/offload/write_plan.hpp"
#include "tun/udp_socket.hpp"

namespace wgring::tun {

struct EngineSetup {
  int tun_fd = -1;
  int wake_fd = -1;  // an eventfd of the shard, see Wake
  SlotPool* trains = nullptr;
  SlotPool* packets = nullptr;
  VnetMode vnet = VnetMode::off;  // as the TUN was set up
  JoinPolicy join{};              // needs vnet
  Segmentation segmentation = Segmentation::off;
};

struct Notes {
  bool woken = false;          // someone called wake()
  bool tun_gone = false;       // the interface is gone; told once
  RefusedSources refused;      // sticky sources that are ours no more: Device::forget_sources()
  std::optional<Error> fatal;  // the engine cannot go on

  [[nodiscard]] bool any() const noexcept {
    return woken || tun_gone || !refused.empty() || fatal.has_value();
  }
  void set_fatal(int errno_value, std::string_view what) noexcept {
    if (!fatal) {
      fatal = Error{.errno_value = errno_value, .what = what};
    }
  }
};

// What one turn brings. Order: datagrams of one socket and packets of TUN are as they arrived.
struct Inbox {
  FixedVector<noise::Wild, noise::wild_batch_max> wilds;
  FixedVector<noise::Plain, noise::plain_batch_max> plains;  // loans until the next arm()
  Notes notes;

  void clear() noexcept {
    wilds.clear();
    plains.clear();
    notes = {};
  }
};

// Owner: one shard. Thread: that shard's only, including open() and the destructor.
// Order: datagrams to one family leave in the order submitted; packets for TUN likewise.
// Lifetime: the descriptors outlive the engine; sockets outlive their last set_sockets() period.
// Slots of the outbox are the engine's until the kernel has them; the destructor cancels what is
// in flight and returns all.
template <typename E>
concept Engine = requires(E engine, const EngineSetup& setup, const UdpPair* sockets,
                          noise::Outbox& outbox, Inbox& inbox, Instant deadline) {
  { engine.open(setup) } -> std::same_as<Status>;
  // nullptr: none, what waits to be sent is dropped. On return nothing of the old pairs is in
  // use.
  { engine.set_sockets(sockets) } -> std::same_as<void>;
  { engine.arm() } -> std::same_as<void>;
  // Takes all transmits and delivers and clears the outbox.
  { engine.submit(outbox) } -> std::same_as<void>;
  // The inbox is empty.
  { engine.reap(inbox) } -> std::same_as<void>;
  { engine.may_sleep() } -> std::same_as<bool>;
  { engine.wait(deadline) } -> std::same_as<void>;
  { engine.counters() } -> std::same_as<const EngineCounters&>;
};

}  // namespace wgring::tun

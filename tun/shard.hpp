// Shard: one thread with its engine, its buffers and its Device, and lanes that help it with cipher
// work. The data path of an interface.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "base/fixed_vector.hpp"
#include "base/memory_source.hpp"
#include "base/result.hpp"
#include "crypto/aead.hpp"
#include "noise/device.hpp"
#include "tun/engine/choose.hpp"
#include "tun/engine/counters.hpp"
#include "tun/inlet.hpp"
#include "tun/lanes.hpp"
#include "tun/offload/offloads.hpp"
#include "tun/offload/write_plan.hpp"
#include "tun/udp_socket.hpp"

namespace wgring::tun {

// Which of the shards of an interface. All have the same configuration, see noise/shard_of.hpp.
struct ShardPlace {
  std::uint32_t shard = 0;
  std::uint32_t shard_bits = 0;
  noise::IndexMark mark;    // of all
  std::span<Inlet> inlets;  // of all, this one's as well; a loan until all are destroyed
};

struct ShardSetup {
  int tun_fd = -1;  // a loan until the shard is destroyed
  VnetMode vnet = VnetMode::off;
  Offloads offloads{};  // those that were found to work
  EngineKind engine = EngineKind::automatic;
  const crypto::Aead* aead = nullptr;
  MemorySource memory;
  noise::Entropy entropy;
  LanePolicy lanes{};
  noise::PrefixWatch prefixes{};
};

// What a task sees on the shard's thread.
class ShardContext {
 public:
  noise::Device& device;
  const Now now;
  // Empty at the start. Drained after the task; a task that makes several calls, each of which
  // wants it empty, calls flush() between them.
  noise::Outbox& outbox;

  void flush() noexcept { flush_(owner_); }
  // nullptr: none. The pairs are a loan until they are replaced; on return the old ones are let
  // go.
  void set_sockets(const UdpPair* sockets) noexcept { set_sockets_(owner_, sockets); }

 private:
  friend class ShardThread;
  ShardContext(noise::Device& the_device, Now the_now, noise::Outbox& the_outbox) noexcept
      : device(the_device), now(the_now), outbox(the_outbox) {}
  void* owner_ = nullptr;
  void (*flush_)(void*) noexcept = nullptr;
  void (*set_sockets_)(void*, const UdpPair*) noexcept = nullptr;
};

struct HandOverCounters {
  std::uint64_t given = 0;  // packets and initiations for peers of other shards
  std::uint64_t taken = 0;
  std::uint64_t full = 0;  // lost: the other shard had not made room
};

struct ShardStats {
  noise::DropCounters drops;
  EngineCounters engine;
  LaneCounters lanes;
  HandOverCounters hand_over;
  std::uint64_t turns = 0;  // batches, including empty ones after a wake-up
  std::uint64_t waits = 0;  // times the thread went to sleep
};

struct Notices {
  static constexpr std::size_t events_max = 256;
  bool tun_gone = false;
  bool fatal = false;  // the engine stopped: no packet moves any more, tasks still run
  Error error;         // why, when fatal
  FixedVector<noise::Event, events_max> events;
  std::uint64_t events_lost = 0;  // since the last call
};

class ShardThread;

// Owner: the control thread. start() gives a running thread; the destructor stops and joins it,
// after which the descriptors it used may be closed.
class Shard {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Shard>> start(const ShardSetup& setup,
                                                            const ShardPlace& place) noexcept;
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;
  ~Shard();

  // Runs task(ShardContext&) on the shard's thread between two batches and returns when it is
  // done. Not from the shard's own thread, nor while holding what the shard may wait for. What
  // the task wrote is seen by the caller. A task that throws ends the process.
  template <typename Task>
  void call(Task&& task) {
    using Plain = std::remove_reference_t<Task>;
    run_task([](void* at, ShardContext& context) noexcept { (*static_cast<Plain*>(at))(context); },
             const_cast<void*>(static_cast<const void*>(std::addressof(task))));
  }

  [[nodiscard]] EngineChoice engine() const noexcept;
  // Readable when take_notices() has something. Level-triggered.
  [[nodiscard]] int notify_fd() const noexcept;
  [[nodiscard]] Notices take_notices() noexcept;
  [[nodiscard]] ShardStats stats() noexcept;

 private:
  using TaskFunction = void (*)(void* task, ShardContext&) noexcept;

  explicit Shard(std::unique_ptr<ShardThread> thread) noexcept;
  void run_task(TaskFunction function, void* task) noexcept;

  std::unique_ptr<ShardThread> thread_;
};

}  // namespace wgring::tun

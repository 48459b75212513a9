// TaskSlot: one call at a time that a thread makes for another, between two of its batches.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

namespace wgring::tun {

// Thread: run() is anyone's but the server's, serve() the server's.
// Order: what the task wrote is seen when run() returns.
template <typename Context>
class TaskSlot {
 public:
  using Function = void (*)(void* task, Context&) noexcept;
  struct Task {
    Function function;
    void* task;
  };

  // Returns when it is done. `rouse` makes the server look, asleep or not.
  template <typename Rouse>
  void run(Function function, void* task, Rouse&& rouse) noexcept {
    // One at a time: the caller waits for it anyway.
    const std::lock_guard lock(callers_);
    const Task entry{.function = function, .task = task};
    const std::uint32_t done = done_.load(std::memory_order_relaxed);
    // Pairs with the acquire in serve().
    task_.store(&entry, std::memory_order_release);
    rouse();
    // Pairs with the addition in serve(): what the task wrote is seen.
    done_.wait(done, std::memory_order_acquire);
  }

  // Likewise the server's.
  [[nodiscard]] bool waiting() const noexcept {
    return task_.load(std::memory_order_relaxed) != nullptr;
  }
  // `perform(const Task&)`, if one is wanted.
  template <typename Perform>
  void serve(Perform&& perform) noexcept {
    // Pairs with the release in run().
    const Task* const task = task_.load(std::memory_order_acquire);
    if (task == nullptr) {
      return;
    }
    task_.store(nullptr, std::memory_order_relaxed);
    perform(*task);
    // Pairs with the acquire in run(), after which `task` is no more. Sequentially consistent:
    // libstdc++ asks next whether anybody waits, and may not before this is seen.
    done_.fetch_add(1);
    done_.notify_one();
  }

 private:
  std::mutex callers_;
  std::atomic<const Task*> task_{nullptr};
  std::atomic<std::uint32_t> done_{0};
};

}  // namespace wgring::tun

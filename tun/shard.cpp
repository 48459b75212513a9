#include "tun/shard.hpp"

#include <new>

#include <errno.h>

#include "tun/shard_thread.hpp"

namespace wgring::tun {

Shard::Shard(std::unique_ptr<ShardThread> thread) noexcept : thread_(std::move(thread)) {}
Shard::~Shard() = default;

Result<std::unique_ptr<Shard>> Shard::start(const ShardSetup& setup,
                                            const ShardPlace& place) noexcept {
  std::unique_ptr<ShardThread> thread(new (std::nothrow) ShardThread(setup, place));
  if (thread == nullptr) {
    return fail(ENOMEM, "out of memory for a shard");
  }
  if (const Status status = thread->start(); !status) {
    return std::unexpected(status.error());
  }
  std::unique_ptr<Shard> shard(new (std::nothrow) Shard(std::move(thread)));
  if (shard == nullptr) {
    return fail(ENOMEM, "out of memory for a shard");
  }
  return shard;
}

void Shard::run_task(TaskFunction function, void* task) noexcept {
  thread_->run_task(function, task);
}

EngineChoice Shard::engine() const noexcept { return thread_->engine(); }
int Shard::notify_fd() const noexcept { return thread_->notify_fd(); }
Notices Shard::take_notices() noexcept { return thread_->take_notices(); }

ShardStats Shard::stats() noexcept {
  ShardStats stats;
  call([&](ShardContext& context) { thread_->copy_stats(context, stats); });
  return stats;
}

}  // namespace wgring::tun

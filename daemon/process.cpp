#include "daemon/process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <new>

#include <fcntl.h>
#include <net/if.h>
#include <sys/resource.h>

#include "crypto/self_test.hpp"
#include "daemon/hardening.hpp"
#include "daemon/log.hpp"
#include "daemon/privileges.hpp"
#include "daemon/sandbox.hpp"
#include "daemon/self_test_verdict.hpp"
#include "daemon/setup_error.hpp"
#include "daemon/stats_log.hpp"
#include "tun/entropy.hpp"
#include "tun/offload/probe.hpp"
#include "tun/udp_group.hpp"

namespace wgring::daemon {
namespace {

using boost::system::error_code;

// Descriptors for configuration clients and for what the engines hold.
constexpr rlim_t descriptors_wanted = 4096;
constexpr rlim_t sessions_min = 8;

constexpr std::chrono::seconds sockets_interval{1};
// While the door is tried, what strangers send is lost.
constexpr std::chrono::seconds door_interval{10};

std::uint32_t scope_of_interface(std::string_view name) noexcept {
  std::array<char, IF_NAMESIZE> terminated{};
  if (name.size() >= terminated.size()) {
    return 0;
  }
  name.copy(terminated.data(), name.size());
  return ::if_nametoindex(terminated.data());
}

// TUN, engines, netlink, timers, log; and the UDP sockets, which are there twice while they change.
constexpr rlim_t descriptors_of_ours(rlim_t shards) noexcept {
  const rlim_t sockets = 2 * (shards + tun::UdpGroup::door_count);
  return 32 + 8 * shards + 2 * sockets;
}

// What is left for clients under the limit that was had.
rlim_t raise_descriptor_limit(rlim_t shards) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return descriptors_wanted;
  }
  const rlimit wanted{.rlim_cur = std::min(limit.rlim_max, descriptors_wanted),
                      .rlim_max = limit.rlim_max};
  if (limit.rlim_cur < wanted.rlim_cur && ::setrlimit(RLIMIT_NOFILE, &wanted) == 0) {
    limit = wanted;
  }
  const rlim_t ours = descriptors_of_ours(shards);
  if (limit.rlim_cur < ours + sessions_min) {
    fail_setup(
        "RLIMIT_NOFILE is {}, and {} descriptors may be needed: raise it (ulimit -Hn, "
        "LimitNOFILE=)",
        limit.rlim_cur, ours + sessions_min);
  }
  return limit.rlim_cur - ours;
}

// So that the thread of floods may come back from SCHED_IDLE (tun/door): to the priority that we
// were started with, not above it.
void allow_own_priority() noexcept {
  const auto own = static_cast<rlim_t>(20 - ::getpriority(PRIO_PROCESS, 0));
  rlimit limit{};
  if (::getrlimit(RLIMIT_NICE, &limit) != 0 || limit.rlim_cur >= own) {
    return;
  }
  const rlimit wanted{.rlim_cur = own, .rlim_max = std::max(limit.rlim_max, own)};
  static_cast<void>(::setrlimit(RLIMIT_NICE, &wanted));
}

bool is_ignored(int signal) noexcept {
  struct sigaction action{};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

// Signals are the control thread's business: the shard's inherits this mask.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

}  // namespace

Process::Process(const Options& options)
    : options_(options), signals_(io_, SIGINT, SIGTERM, SIGUSR1), sockets_timer_(io_) {
  // In the background, and under nohup(1), it is ignored and stays so.
  if (!is_ignored(SIGHUP)) {
    signals_.add(SIGHUP);
  }
}

Process::~Process() {
  // The name goes first: who still comes finds no socket, and not a dead one.
  if (socket_) {
    socket_->remove_file();
  }
  if (server_) {
    server_->stop();
  }
}

void Process::set_up() {
  // Looked up while files may be read.
  const std::optional<Account> account =
      options_.user.empty() ? std::nullopt : std::optional{find_account(options_.user)};
  UapiLimits limits;
  limits.sessions_max = std::min<rlim_t>(limits.sessions_max,
                                         raise_descriptor_limit(rlim_t{1} << options_.shard_bits));
  allow_own_priority();
  memory_unlocked_ = lock_memory();
  choose_crypto();
  open_tun();
  open_socket();
  steer_tun();
  watch_socket_file();
  give_up_privileges(account);
  start_shards();
  start_link_watch();
  server_.emplace(io_, *interface_, scope_of_interface, limits);
  server_->start(socket_->fd());
  await_signal();
  sandbox_ = enter_sandbox(
      options_.sandbox, {.engine = (*shards_)[0].engine().kind, .steering = steering_.is_open()});
  log_choices();
  if (!memory_unlocked_.empty()) {
    log_info("memory is not locked, keys may be swapped out: {}", memory_unlocked_);
  }
  log_info("interface {} is ready, configuration socket {}", name_, socket_->path());
}

void Process::log_choices() {
  const tun::EngineChoice engine = (*shards_)[0].engine();
  log_info("engine: {} ({})", tun::engine_name(engine.kind), engine.why);
  if (shards_->count() > 1) {
    log_info("shards: {} ({})", shards_->count(), steered_);
  }
  if (const std::uint64_t refused = steering_.refused(); refused != 0) {
    log_info("shards: the kernel refused {} changes of its map of prefixes", refused);
  }
  log_info("aead: {} ({})", aead_->name, aead_reason_);
  log_info("lanes: {} ({})", lanes_.count, lanes_.why);
  log_offloads(offloads_);
  log_info("capabilities: {}", kept_);
  log_info("sandbox: {}", sandbox_);
}

int Process::run() {
  try {
    io_.run();
  } catch (const std::exception& error) {
    // The starter has gone, and standard error may be /dev/null: only the log is left to tell.
    log_error("ends: {}", error.what());
    return 1;
  }
  return exit_status_;
}

void Process::choose_crypto() {
  if (const Status initialised = crypto::initialise(); !initialised) {
    fail_setup("{}", initialised.error());
  }
  const SelfTestVerdict verdict = judge_self_test(crypto::self_test());
  for (const std::string& line : verdict.errors) {
    log_error("{}", line);
  }
  if (!verdict.fatal.empty()) {
    fail_setup("{}", verdict.fatal);
  }
  aead_reason_ = verdict.aead_reason;
  const Result<const crypto::Aead*> chosen = crypto::choose_aead(options_.aead);
  if (!chosen) {
    fail_setup("--aead={}: {}", options_.aead, chosen.error());
  }
  aead_ = *chosen;
}

void Process::open_tun() {
  if (options_.tun_fd && options_.shard_bits > 0) {
    fail_setup(
        "--shards: WG_TUN_FD is one queue, which is enough for one shard; leave one of them out");
  }
  Result<tun::TunDevice> opened =
      options_.tun_fd ? tun::TunDevice::adopt(tun::Fd(*options_.tun_fd), offloads_)
                      : tun::TunDevice::create(options_.interface_name, offloads_,
                                               std::uint32_t{1} << options_.shard_bits);
  if (!opened) {
    fail_setup("{}: {}", options_.tun_fd ? "WG_TUN_FD" : options_.interface_name, opened.error());
  }
  tun_ = std::move(*opened);
  name_ = tun_.name();
  tun::probe_tun_writes(tun_.fd(), offloads_);
  tun::probe_udp(offloads_);
}

// Without it shards work as well; packets are handed over, and a few of a flow may be overtaken.
void Process::steer_tun() {
  if (options_.shard_bits == 0) {
    return;
  }
  const Status steered = steering_.open(tun_.fd());
  steered_ = steered ? "packets are read by their peer's shard"
                     : fmt::format("packets are read by any shard, for {}", steered.error());
}

void Process::open_socket() {
  if (options_.uapi_fd) {
    socket_.emplace(UapiSocket::adopt(tun::Fd(*options_.uapi_fd), uapi_directory, name_));
  } else {
    socket_.emplace(UapiSocket::listen(uapi_directory, name_));
  }
}

void Process::start_shards() {
  static_assert(tun::TunDevice::queues_max >= tun::shards_max);
  const std::uint32_t count = std::uint32_t{1} << options_.shard_bits;
  lanes_ = tun::choose_lanes(options_.lanes, count, tun::usable_processors());
  std::vector<int> queues(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    queues[i] = tun_.queue(i);
  }
  Result<std::unique_ptr<tun::Shards>> started = [&] {
    const SignalsBlocked blocked;
    return tun::Shards::start({.vnet = tun_.vnet(),
                               .offloads = offloads_,
                               .engine = options_.engine,
                               .aead = aead_,
                               .memory = memory_.source(),
                               .entropy = tun::system_entropy(),
                               .lanes = {.count = lanes_.count},
                               .prefixes = steering_.watch()},
                              queues);
  }();
  if (!started) {
    fail_setup("cannot start the data path: {}", started.error());
  }
  shards_ = std::move(*started);
  for (std::uint32_t i = 0; i < count; ++i) {
    const int duplicate = ::fcntl((*shards_)[i].notify_fd(), F_DUPFD_CLOEXEC, 3);
    if (duplicate < 0) {
      fail_setup("cannot duplicate a descriptor: {}", errno_text(errno));
    }
    notices_.emplace_back(io_, duplicate);
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    await_notice(i);
  }
  interface_.emplace(*shards_, offloads_.has(tun::Offload::udp_gro) ? tun::ReceiveRuns::on
                                                                    : tun::ReceiveRuns::off);
}

// Before the first thread; what comes after it needs no more than what is kept.
void Process::give_up_privileges(const std::optional<Account>& account) {
  kept_ = drop_privileges(account, {.steering = steering_.is_open()});
  if (!steering_.is_open()) {
    return;
  }
  if (const Status proved = steering_.prove(); !proved) {
    steered_ = fmt::format("packets are read by any shard, for {}", proved.error());
  }
}

void Process::start_link_watch() {
  source_review_.emplace(io_, *interface_);
  link_watch_.emplace(io_, tun_,
                      LinkEvents{
                          .on_link =
                              [this](Link link) {
                                interface_->set_link(link);
                                log_info("link {}", link == Link::up ? "up" : "down");
                                retry_sockets_later();
                              },
                          .on_mtu =
                              [this](std::uint32_t mtu_bytes) {
                                log_info("mtu {}", mtu_bytes);
                                interface_->set_mtu(mtu_bytes);
                              },
                          .on_routes = [this] { source_review_->begin(); },
                          .on_gone = [this] { end(0, "the interface was deleted"); },
                      });
  link_watch_->start();
}

void Process::watch_socket_file() {
  if (!socket_->has_file()) {
    return;
  }
  const auto end_without_file = [this] {
    if (!socket_->file_is_ours()) {
      end(0, "the configuration socket was removed");
    }
  };
  file_watch_.emplace(io_, end_without_file);
  file_watch_->start(socket_->directory());
  end_without_file();  // it may have gone before the watch began
}

// A port that was taken, or want of descriptors, may pass: who set the link up does not ask again.
void Process::retry_sockets_later() {
  if (!interface_->wants_retry()) {
    return;
  }
  sockets_timer_.expires_after(interface_->lacks_sockets() ? sockets_interval : door_interval);
  sockets_timer_.async_wait([this](const error_code& error) {
    if (!error) {
      interface_->retry_sockets();
      retry_sockets_later();
    }
  });
}

void Process::await_signal() {
  signals_.async_wait([this](const error_code& error, int signal) {
    if (error) {
      return;
    }
    if (signal == SIGUSR1) {
      log_all();
      await_signal();
    } else {
      end(0, signal == SIGINT ? "SIGINT" : signal == SIGHUP ? "SIGHUP" : "SIGTERM");
    }
  });
}

void Process::log_all() {
  try {
    log_choices();
    for (std::uint32_t i = 0; i < shards_->count(); ++i) {
      log_stats(shards_->stats(i), shards_->count() > 1 ? fmt::format("shard {}: ", i) : "");
    }
  } catch (const std::bad_alloc&) {  // NOLINT: without memory lines are lost, and no more
  }
}

void Process::await_notice(std::uint32_t shard) {
  notices_[shard].async_wait(boost::asio::posix::stream_descriptor::wait_read,
                             [this, shard](const error_code& error) {
                               if (!error) {
                                 on_notices(shard);
                                 await_notice(shard);
                               }
                             });
}

void Process::on_notices(std::uint32_t shard) {
  const tun::Notices notices = (*shards_)[shard].take_notices();
  log_events(notices);
  const bool up_unseen = std::ranges::any_of(notices.events, [](const noise::Event& event) {
    return event.kind == noise::EventKind::traffic_while_down;
  });
  if (up_unseen && link_watch_) {
    link_watch_->ask();
  }
  if (notices.tun_gone) {
    end(0, "the interface was deleted");
  } else if (notices.fatal) {
    log_error("the data path stopped: {}", notices.error);
    end(1, "the data path stopped");
  }
}

void Process::end(int exit_status, std::string_view reason) {
  if (!ended_) {
    ended_ = true;
    exit_status_ = exit_status;
    log_info("ends: {}", reason);
    io_.stop();
  }
}

}  // namespace wgring::daemon

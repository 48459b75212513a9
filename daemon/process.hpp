// Process: everything of one running interface, from set-up to the orderly end.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/file_watch.hpp"
#include "daemon/interface.hpp"
#include "daemon/link_watch.hpp"
#include "daemon/options.hpp"
#include "daemon/privileges.hpp"
#include "daemon/source_review.hpp"
#include "daemon/uapi_server.hpp"
#include "daemon/uapi_socket.hpp"
#include "tun/lane_choice.hpp"
#include "tun/memory_source.hpp"
#include "tun/shards.hpp"
#include "tun/steering.hpp"
#include "tun/tun_device.hpp"

namespace wgring::daemon {

// Owner: main(). Thread: the control thread; it makes those of the shards. Order of members is the
// order of life: each one uses those above it.
class Process {
 public:
  explicit Process(const Options& options);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  // Throws SetupError, and leaves nothing behind then. After it the interface is there and its
  // configuration socket answers.
  void set_up();
  // Until the end is asked for or forced; the exit status.
  [[nodiscard]] int run();

 private:
  void choose_crypto();
  void give_up_privileges(const std::optional<Account>& account);
  void open_tun();
  void steer_tun();
  void open_socket();
  void start_shards();
  void start_link_watch();
  void watch_socket_file();
  void retry_sockets_later();
  void log_choices();  // what was taken of what there is, and why
  void log_all();      // that, and the counters of each shard
  void await_signal();
  void await_notice(std::uint32_t shard);
  void on_notices(std::uint32_t shard);
  void end(int exit_status, std::string_view reason);

  Options options_;
  boost::asio::io_context io_;
  boost::asio::signal_set signals_;
  const crypto::Aead* aead_ = nullptr;
  std::string aead_reason_;
  tun::LaneChoice lanes_;
  tun::Offloads offloads_ = options_.offloads;  // what this machine does not have is off too
  tun::TunDevice tun_;
  tun::Steering steering_;
  std::string steered_;          // how packets find their shard, for the log
  std::string memory_unlocked_;  // why, if so
  std::string kept_;             // capabilities and user
  std::string sandbox_;
  std::string name_;  // the interface's when it was opened: also the socket's, for good
  tun::SystemMemory memory_;
  std::optional<UapiSocket> socket_;
  std::unique_ptr<tun::Shards> shards_;
  std::vector<boost::asio::posix::stream_descriptor> notices_;  // of each shard
  boost::asio::steady_timer sockets_timer_;
  std::optional<Interface> interface_;
  std::optional<UapiServer> server_;
  std::optional<SourceReview> source_review_;
  std::optional<LinkWatch> link_watch_;
  std::optional<FileWatch> file_watch_;
  bool ended_ = false;
  int exit_status_ = 0;
};

}  // namespace wgring::daemon

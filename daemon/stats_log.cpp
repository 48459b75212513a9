#include "daemon/stats_log.hpp"

#include <string>
#include <string_view>

#include <fmt/format.h>

#include "daemon/log.hpp"

namespace wgring::daemon {
namespace {

struct Line {
  std::string text;
  void add(std::string_view name, std::uint64_t number) {
    if (number != 0) {
      text += fmt::format(" {}={}", name, number);
    }
  }
  void write(std::string_view whose, std::string_view title) const {
    log_info("{}{}:{}", whose, title, text.empty() ? " none" : text);
  }
};

void log_io_errors(std::string_view whose, std::string_view title, const tun::IoErrors& errors) {
  Line line;
  for (std::size_t i = 0; i < tun::io_error_count; ++i) {
    const auto error = static_cast<tun::IoError>(i);
    line.add(tun::io_error_name(error), errors[error]);
  }
  line.write(whose, title);
}

std::string_view event_name(noise::EventKind kind) noexcept {
  switch (kind) {
    case noise::EventKind::handshake_initiated:
      return "handshake initiated";
    case noise::EventKind::handshake_completed:
      return "handshake completed";
    case noise::EventKind::handshake_gave_up:
      return "handshake given up";
    case noise::EventKind::cookie_received:
      return "cookie received";
    case noise::EventKind::keys_zeroed:
      return "keys zeroed";
    case noise::EventKind::endpoint_changed:
      return "endpoint changed";
    case noise::EventKind::traffic_while_down:
      return "traffic while the link was thought down";
  }
  return "event";
}

}  // namespace

void log_stats(const tun::ShardStats& stats, std::string_view whose) {
  const tun::EngineCounters& engine = stats.engine;
  Line moved;
  moved.add("udp_received", engine.udp_received);
  moved.add("udp_sent", engine.udp_sent);
  moved.add("tun_read", engine.tun_read);
  moved.add("tun_written", engine.tun_written);
  moved.add("turns", stats.turns);
  moved.add("waits", stats.waits);
  moved.add("lane_batches", stats.lanes.batches);
  moved.add("lane_jobs", stats.lanes.jobs);
  moved.add("lane_wakeups", stats.lanes.wakeups);
  moved.add("lane_windows", stats.lanes.windows);
  moved.add("lane_windows_busy", stats.lanes.windows_busy);
  moved.add("handed_over", stats.hand_over.given);
  moved.add("taken_over", stats.hand_over.taken);
  moved.add("sources_refused", engine.sources_refused);
  moved.add("send_waits", engine.send_waits);
  moved.add("trains_sent", engine.trains_sent);
  moved.add("trains_received", engine.trains_received);
  moved.add("strangers_received", engine.strangers_received);
  moved.add("strangers_let_in", engine.strangers_let_in);
  moved.add("super_packets_read", engine.super_packets_read);
  moved.add("super_packets_written", engine.super_packets_written);
  moved.add("receive_ring_empty", engine.receive_ring_empty);
  moved.add("segmentation_refused", engine.segmentation_refused);
  moved.add("joining_refused", engine.joining_refused);
  moved.write(whose, "packets");

  Line lost;
  lost.add("udp_truncated", engine.udp_truncated);
  lost.add("udp_no_buffer", engine.udp_no_buffer);
  lost.add("udp_backlog_full", engine.udp_backlog_full);
  lost.add("udp_no_socket", engine.udp_no_socket);
  lost.add("udp_kernel_dropped", engine.udp_kernel_dropped);
  lost.add("door_dropped", engine.door_dropped);
  lost.add("door_full", engine.door_full);
  lost.add("tun_after_end", engine.tun_after_end);
  lost.add("hand_over_full", stats.hand_over.full);
  lost.write(whose, "lost in the engine");

  Line dropped;
  for (std::size_t i = 0; i < noise::drop_count; ++i) {
    const auto reason = static_cast<noise::Drop>(i);
    dropped.add(noise::drop_name(reason), stats.drops[reason]);
  }
  dropped.write(whose, "dropped");
  log_io_errors(whose, "send errors", engine.send_errors);
  log_io_errors(whose, "receive errors", engine.receive_errors);
  log_io_errors(whose, "tun errors", engine.tun_errors);
}

void log_offloads(const tun::Offloads& offloads) {
  std::string on;
  for (std::size_t i = 0; i < tun::offload_count; ++i) {
    const auto offload = static_cast<tun::Offload>(i);
    if (offloads.has(offload)) {
      on += fmt::format(" {}", tun::offload_name(offload));
    } else {
      log_info("offload {}: off ({})", tun::offload_name(offload), offloads.why_off(offload));
    }
  }
  log_info("offloads:{}", on.empty() ? " none" : on);
}

void log_events(const tun::Notices& notices) {
  for (const noise::Event& event : notices.events) {
    log_debug("peer {}: {}", event.peer_id, event_name(event.kind));
  }
  if (notices.events_lost != 0) {
    log_debug("{} events were not logged", notices.events_lost);
  }
}

}  // namespace wgring::daemon

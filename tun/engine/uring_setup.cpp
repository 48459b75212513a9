#include "tun/engine/uring_setup.hpp"

#include <array>
#include <cstdint>

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "tun/fd.hpp"
#include "tun/wake.hpp"

namespace wgring::tun {
namespace {

// NODROP: a full completion queue loses nothing. SUBMIT_STABLE: what a submission points to may
// change once it is submitted. FAST_POLL: an operation that would wait takes no thread.
constexpr unsigned features_wanted =
    IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL;

constexpr std::array<int, 6> operations_wanted{IORING_OP_READ,     IORING_OP_WRITE,
                                               IORING_OP_SENDMSG,  IORING_OP_RECVMSG,
                                               IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL};

Status check_operations(io_uring& ring) noexcept {
  io_uring_probe* const probe = ::io_uring_get_probe_ring(&ring);
  if (probe == nullptr) {
    return fail(EINVAL, "io_uring_register(PROBE): refused; the kernel is too old");
  }
  bool all = true;
  for (const int operation : operations_wanted) {
    all = all && ::io_uring_opcode_supported(probe, operation) != 0;
  }
  ::io_uring_free_probe(probe);
  if (!all) {
    return fail(EOPNOTSUPP, "io_uring: an operation this engine needs is missing");
  }
  return {};
}

// The next completion within a second, or a negative errno.
long next_result(io_uring& ring, std::uint64_t wanted) noexcept {
  __kernel_timespec limit{.tv_sec = 1, .tv_nsec = 0};
  io_uring_cqe* completion = nullptr;
  if (const int error = ::io_uring_wait_cqe_timeout(&ring, &completion, &limit); error < 0) {
    return error;
  }
  const long result = completion->user_data == wanted ? completion->res : -EPROTO;
  ::io_uring_cqe_seen(&ring, completion);
  return result;
}

// Lives in the frame that also ends the ring: no operation outlives what it points to.
struct Trial {
  io_uring ring{};
  std::array<char, 2> sent{'1', '2'};
  std::array<char, 2> received{};
  std::array<iovec, 3> payloads{};
  std::array<msghdr, 3> messages{};
  std::uint64_t counter = 0;
};

// A receive that has to wait, then two linked sends: the first bytes arrive, in order.
Status move_bytes(Trial& trial, int from, int to) noexcept {
  constexpr auto wrong = "io_uring: the self-test of SENDMSG and RECVMSG failed";
  io_uring& ring = trial.ring;
  trial.payloads = {{{.iov_base = trial.received.data(), .iov_len = 2},
                     {.iov_base = trial.sent.data(), .iov_len = 1},
                     {.iov_base = trial.sent.data() + 1, .iov_len = 1}}};
  for (std::size_t i = 0; i < trial.messages.size(); ++i) {
    trial.messages[i].msg_iov = &trial.payloads[i];
    trial.messages[i].msg_iovlen = 1;
  }
  io_uring_sqe* entry = ::io_uring_get_sqe(&ring);
  ::io_uring_prep_recvmsg(entry, to, trial.messages.data(), 0);
  entry->user_data = 1;
  if (const int count = ::io_uring_submit_and_get_events(&ring); count != 1) {
    return fail(count < 0 ? -count : EPROTO, "io_uring_enter: the first submission was refused");
  }
  if (::io_uring_cq_ready(&ring) != 0) {
    return fail(EPROTO, "io_uring: a receive on a non-blocking socket does not wait for data");
  }
  for (std::uint64_t i = 1; i < trial.messages.size(); ++i) {
    entry = ::io_uring_get_sqe(&ring);
    ::io_uring_prep_sendmsg(entry, from, &trial.messages[i], MSG_DONTWAIT | MSG_NOSIGNAL);
    entry->user_data = 1 + i;
    entry->flags |= i == 1 ? IOSQE_IO_LINK : 0U;
  }
  if (::io_uring_submit_and_get_events(&ring) < 0) {
    return fail(EPROTO, wrong);
  }
  // The receive completes before or after the sends; all three within the limit.
  unsigned seen = 0;
  for (int i = 0; i < 3; ++i) {
    __kernel_timespec limit{.tv_sec = 1, .tv_nsec = 0};
    io_uring_cqe* completion = nullptr;
    if (::io_uring_wait_cqe_timeout(&ring, &completion, &limit) < 0) {
      return fail(ETIMEDOUT, wrong);
    }
    seen |= completion->res == 1 ? 1U << completion->user_data : 0U;
    ::io_uring_cqe_seen(&ring, completion);
  }
  const bool first = trial.received[0] == '1';
  const bool second =
      ::recv(to, trial.received.data(), 2, MSG_DONTWAIT) == 1 && trial.received[0] == '2';
  return seen == 0b1110U && first && second ? Status{} : Status{fail(EPROTO, wrong)};
}

// READ of a non-blocking descriptor that has nothing yet: it waits and then brings the bytes.
Status read_later(Trial& trial) noexcept {
  Wake wake;
  if (Status status = wake.open(); !status) {
    return status;
  }
  io_uring& ring = trial.ring;
  io_uring_sqe* const entry = ::io_uring_get_sqe(&ring);
  ::io_uring_prep_read(entry, wake.fd(), &trial.counter, sizeof trial.counter, 0);
  entry->user_data = 5;
  static_cast<void>(::io_uring_submit(&ring));
  wake.wake();
  const long result = next_result(ring, 5);
  if (result != sizeof trial.counter || trial.counter != 1) {
    return fail(result < 0 ? static_cast<int>(-result) : EPROTO,
                "io_uring: the self-test of READ failed");
  }
  return {};
}

Status try_ring(Trial& trial) noexcept {
  if (Status status = check_operations(trial.ring); !status) {
    return status;
  }
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail(errno, "socketpair: for the self-test of io_uring");
  }
  const Fd one{ends[0]};
  const Fd other{ends[1]};
  if (Status status = move_bytes(trial, one.get(), other.get()); !status) {
    return status;
  }
  return read_later(trial);
}

Error setup_error(int errno_value) noexcept {
  switch (errno_value) {
    case ENOSYS:
      return {errno_value, "io_uring_setup: ENOSYS (kernel before 5.1, or built without it)"};
    case EPERM:
      return {errno_value, "io_uring_setup: EPERM (seccomp or kernel.io_uring_disabled)"};
    case EINVAL:
      return {errno_value, "io_uring_setup: EINVAL (no DEFER_TASKRUN: kernel before 6.1)"};
    case ENOMEM:
      return {errno_value, "io_uring_setup: ENOMEM (memory or RLIMIT_MEMLOCK)"};
    case EMFILE:
    case ENFILE:
      return {errno_value, "io_uring_setup: too many open files"};
    default:
      return {errno_value, "io_uring_setup failed"};
  }
}

}  // namespace

Status open_ring(io_uring& ring, unsigned entries, unsigned completions) noexcept {
  io_uring_params parameters{};
  parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
  parameters.cq_entries = completions;
  if (const int error = ::io_uring_queue_init_params(entries, &ring, &parameters); error < 0) {
    return std::unexpected(setup_error(-error));
  }
  if ((parameters.features & features_wanted) != features_wanted) {
    ::io_uring_queue_exit(&ring);
    return fail(EOPNOTSUPP, "io_uring_setup: NODROP, SUBMIT_STABLE or FAST_POLL is missing");
  }
  return {};
}

Status probe_uring() noexcept {
  Trial trial;
  if (Status status = open_ring(trial.ring, 8, 16); !status) {
    return status;
  }
  const Status status = try_ring(trial);
  ::io_uring_queue_exit(&trial.ring);
  return status;
}

}  // namespace wgring::tun

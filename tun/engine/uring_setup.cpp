#include "tun/engine/uring_setup.hpp"

#include <array>
#include <cstdint>

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "tun/engine/receive_ring.hpp"
#include "tun/fd.hpp"
#include "tun/wake.hpp"

namespace wgring::tun {
namespace {

// NODROP: a full completion queue loses nothing. SUBMIT_STABLE: what a submission points to may
// change once it is submitted. FAST_POLL: an operation that would wait takes no thread.
constexpr unsigned features_wanted =
    IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL;

// Quiet effects: a failure makes a completion, success none.
constexpr unsigned features_of_full = IORING_FEAT_CQE_SKIP;

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
  static constexpr std::size_t slots = 2;
  static constexpr std::size_t slot_bytes = 64;
  io_uring ring{};
  std::array<std::uint8_t, slots*(train_headroom_bytes + slot_bytes)> memory{};
  std::array<std::uint32_t, slots> free_list{};
  SlotPool pool{memory, free_list, slot_bytes, train_headroom_bytes};
  ReceiveRing receive_ring;
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

// One receive brings two datagrams, each into a slot of its own, and stays.
Status receive_staying(Trial& trial, int from, int to) noexcept {
  constexpr auto wrong = "io_uring: the self-test of receives that stay (Linux 6.0) failed";
  if (Status status = trial.receive_ring.open(trial.ring); !status) {
    return status;
  }
  trial.receive_ring.refill(trial.pool);
  io_uring_sqe* const entry = ::io_uring_get_sqe(&trial.ring);
  trial.receive_ring.prepare(entry, to);
  entry->user_data = 6;
  static_cast<void>(::io_uring_submit_and_get_events(&trial.ring));
  for (const char& byte : trial.sent) {
    if (::send(from, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1) {
      return fail(errno, "send: for the self-test of io_uring");
    }
    __kernel_timespec limit{.tv_sec = 1, .tv_nsec = 0};
    io_uring_cqe* completion = nullptr;
    if (::io_uring_wait_cqe_timeout(&trial.ring, &completion, &limit) < 0) {
      return fail(ETIMEDOUT, wrong);
    }
    const io_uring_cqe seen{
        .user_data = completion->user_data, .res = completion->res, .flags = completion->flags};
    ::io_uring_cqe_seen(&trial.ring, completion);
    constexpr unsigned flags_wanted = IORING_CQE_F_BUFFER | IORING_CQE_F_MORE;
    if (seen.user_data != 6 || seen.res < 0 || (seen.flags & flags_wanted) != flags_wanted) {
      return fail(seen.res < 0 ? -seen.res : EPROTO, wrong);
    }
    const Slot slot = trial.receive_ring.take(seen.flags >> IORING_CQE_BUFFER_SHIFT);
    noise::Wild wild;
    std::uint32_t drops = 0;
    if (trial.receive_ring.parse(slot, wild, drops) != Parsed::ok || wild.bytes != 1 ||
        slot.bytes()[0] != static_cast<std::uint8_t>(byte)) {
      return fail(EPROTO, wrong);
    }
  }
  return {};
}

// Nothing is in flight when the slots go back.
void end_receive(Trial& trial) noexcept {
  io_uring_sqe* const entry = ::io_uring_get_sqe(&trial.ring);
  ::io_uring_prep_cancel64(entry, 6, 0);
  entry->user_data = 7;
  static_cast<void>(::io_uring_submit(&trial.ring));
  while (next_result(trial.ring, 7) == -EPROTO) {
  }
  trial.receive_ring.close(trial.ring);
}

Status try_ring(Trial& trial, UringForm form) noexcept {
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
  if (Status status = read_later(trial); !status || form == UringForm::basic) {
    return status;
  }
  const Status status = receive_staying(trial, one.get(), other.get());
  end_receive(trial);
  return status;
}

Error setup_error(int errno_value, UringForm form) noexcept {
  switch (errno_value) {
    case ENOSYS:
      return {errno_value, "io_uring_setup: ENOSYS (kernel before 5.1, or built without it)"};
    case EPERM:
      return {errno_value, "io_uring_setup: EPERM (seccomp or kernel.io_uring_disabled)"};
    case EINVAL:
      return form == UringForm::full
                 ? Error{errno_value,
                         "io_uring_setup: EINVAL (no DEFER_TASKRUN: kernel before 6.1)"}
                 : Error{errno_value, "io_uring_setup: EINVAL (no CQSIZE: kernel before 5.5)"};
    case ENOMEM:
      return {errno_value, "io_uring_setup: ENOMEM (memory or RLIMIT_MEMLOCK)"};
    case EMFILE:
    case ENFILE:
      return {errno_value, "io_uring_setup: too many open files"};
    default:
      return {errno_value, "io_uring_setup failed"};
  }
}

// What seccomp cannot see: the ring would carry out any operation that it is given.
constexpr std::array<std::uint8_t, 8> operations_allowed{
    IORING_OP_READ,    IORING_OP_WRITE,    IORING_OP_WRITEV,       IORING_OP_SENDMSG,
    IORING_OP_RECVMSG, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_TIMEOUT};
// The last four came with 5.18 and 5.19; a kernel refuses a list with one that it does not know.
constexpr std::array<std::uint8_t, 7> registrations_allowed{
    IORING_REGISTER_PROBE,      IORING_REGISTER_FILES,      IORING_UNREGISTER_FILES,
    IORING_REGISTER_RING_FDS,   IORING_UNREGISTER_RING_FDS, IORING_REGISTER_PBUF_RING,
    IORING_UNREGISTER_PBUF_RING};
constexpr std::size_t registrations_of_basic = 3;
constexpr std::uint8_t flags_allowed =
    IOSQE_FIXED_FILE | IOSQE_IO_LINK | IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS;

// Of a ring that is disabled, which it is no longer afterwards.
bool restrict_ring(io_uring& ring, UringForm form) noexcept {
  std::array<io_uring_restriction, operations_allowed.size() + registrations_allowed.size() + 1>
      rules{};
  std::size_t count = 0;
  for (const std::uint8_t operation : operations_allowed) {
    rules[count].opcode = IORING_RESTRICTION_SQE_OP;
    rules[count++].sqe_op = operation;
  }
  const std::size_t registrations =
      form == UringForm::full ? registrations_allowed.size() : registrations_of_basic;
  for (std::size_t i = 0; i < registrations; ++i) {
    rules[count].opcode = IORING_RESTRICTION_REGISTER_OP;
    rules[count++].register_op = registrations_allowed[i];
  }
  rules[count].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
  rules[count++].sqe_flags = flags_allowed;
  // liburing 2.3 declares functions for both and does not export them.
  const auto fd = static_cast<unsigned>(ring.ring_fd);
  return ::io_uring_register(fd, IORING_REGISTER_RESTRICTIONS, rules.data(),
                             static_cast<unsigned>(count)) == 0 &&
         ::io_uring_register(fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) == 0;
}

// 0, or a negative errno. Before 5.10 a ring cannot be restricted.
int queue_init(io_uring& ring, UringForm form, unsigned entries,
               io_uring_params& parameters) noexcept {
  const io_uring_params wanted = parameters;
  parameters.flags |= IORING_SETUP_R_DISABLED;
  if (::io_uring_queue_init_params(entries, &ring, &parameters) == 0) {
    if (restrict_ring(ring, form)) {
      return 0;
    }
    ::io_uring_queue_exit(&ring);
  }
  parameters = wanted;
  return ::io_uring_queue_init_params(entries, &ring, &parameters);
}

}  // namespace

Status open_ring(io_uring& ring, UringForm form, unsigned entries, unsigned completions) noexcept {
  io_uring_params parameters{};
  parameters.flags = IORING_SETUP_CQSIZE;
  unsigned wanted = features_wanted;
  if (form == UringForm::full) {
    // TASKRUN_FLAG: the ring says whether completions wait for the next enter().
    parameters.flags |=
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
    wanted |= features_of_full;
  }
  parameters.cq_entries = completions;
  if (const int error = queue_init(ring, form, entries, parameters); error < 0) {
    return std::unexpected(setup_error(-error, form));
  }
  if ((parameters.features & wanted) != wanted) {
    ::io_uring_queue_exit(&ring);
    return fail(EOPNOTSUPP, "io_uring_setup: NODROP, SUBMIT_STABLE, FAST_POLL or CQE_SKIP missing");
  }
  return {};
}

Status probe_uring(UringForm form) noexcept {
  Trial trial;
  if (Status status = open_ring(trial.ring, form, 8, 16); !status) {
    return status;
  }
  const Status status = try_ring(trial, form);
  ::io_uring_queue_exit(&trial.ring);
  return status;
}

}  // namespace wgring::tun

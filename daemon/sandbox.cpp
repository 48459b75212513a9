#include "daemon/sandbox.hpp"

#include <cerrno>
#include <initializer_list>
#include <memory>
#include <span>

#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "daemon/setup_error.hpp"

namespace wgring::daemon {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
constexpr bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool sanitized = false;
#endif

constexpr std::uint64_t low_half = 0xffff'ffffU;
constexpr std::uint32_t request_of_tun_namespace = _IO('T', 227);  // TUNGETDEVNETNS: since 5.2

// Packets and waiting.
constexpr int calls_of_packets[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(preadv2),
    SCMP_SYS(pwritev2),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendto),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(futex),
    SCMP_SYS(sched_yield),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(getrandom),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(getcpu),
    SCMP_SYS(getrusage),
};

// Sockets of packets after a change of port or mark, of configuration clients, of the log.
constexpr int calls_of_sockets[] = {
    SCMP_SYS(bind),       SCMP_SYS(connect),    SCMP_SYS(accept),      SCMP_SYS(accept4),
    SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
    SCMP_SYS(shutdown),   SCMP_SYS(close),      SCMP_SYS(fcntl),       SCMP_SYS(dup),
};

// Memory without the right to be run, and the configuration socket's file.
constexpr int calls_of_memory_and_files[] = {
    SCMP_SYS(munmap),     SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk),
    SCMP_SYS(mlock2),     SCMP_SYS(fstat),  SCMP_SYS(lstat),   SCMP_SYS(stat),
    SCMP_SYS(newfstatat), SCMP_SYS(statx),  SCMP_SYS(unlink),  SCMP_SYS(unlinkat),
};

// Of the process itself: signals, the orderly end and the disorderly one.
constexpr int calls_of_the_process[] = {
    SCMP_SYS(rt_sigreturn),    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction),    SCMP_SYS(sigaltstack),
    SCMP_SYS(getpid),          SCMP_SYS(gettid),
    SCMP_SYS(tgkill),          SCMP_SYS(exit),
    SCMP_SYS(exit_group),      SCMP_SYS(geteuid),
    SCMP_SYS(getuid),          SCMP_SYS(sched_getaffinity),
};

constexpr int fatal_calls[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(clone),
    SCMP_SYS(clone3),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(capset),
    SCMP_SYS(setuid),
    SCMP_SYS(setresuid),
    SCMP_SYS(add_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(request_key),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(memfd_create),
    SCMP_SYS(personality),
};

constexpr std::uint32_t requests_allowed[] = {
    TUNGETIFF, request_of_tun_namespace, SIOCGSKNS, SIOCGIFINDEX, SIOCGIFNAME, FIONBIO, FIONREAD,
};

constexpr int families_allowed[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};

// What takes a ring apart; the ring itself knows which operations it may carry out.
constexpr std::uint32_t registrations_allowed[] = {
    IORING_UNREGISTER_FILES, IORING_UNREGISTER_RING_FDS, IORING_UNREGISTER_PBUF_RING};

constexpr std::uint32_t map_commands_allowed[] = {BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM};

struct FilterDeleter {
  void operator()(void* filter) const noexcept { ::seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, FilterDeleter>;

scmp_arg_cmp equals(unsigned argument, std::uint64_t value) noexcept {
  return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = low_half, .datum_b = value};
}

scmp_arg_cmp lacks(unsigned argument, std::uint64_t bits) noexcept {
  return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = bits, .datum_b = 0};
}

// A call that this architecture does not have needs no rule.
void rule(const Filter& filter, std::uint32_t action, int call,
          std::initializer_list<scmp_arg_cmp> conditions = {}) {
  const int code = ::seccomp_rule_add_array(
      filter.get(), action, call, static_cast<unsigned>(conditions.size()), conditions.begin());
  if (code != 0 && code != -EDOM) {
    fail_setup("--sandbox: libseccomp refused a rule for call {}: {}", call, errno_text(-code));
  }
}

void allow_conditionally(const Filter& filter, const SandboxNeeds& needs) {
  // A lane's thread may still be about to tell its name.
  rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), {equals(0, PR_SET_NAME)});
  rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), {lacks(2, PROT_EXEC)});
  rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), {lacks(2, PROT_EXEC)});
  for (const int family : families_allowed) {
    rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), {equals(0, static_cast<unsigned>(family))});
  }
  for (const std::uint32_t request : requests_allowed) {
    rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), {equals(1, request)});
  }
  // Between the usual priority and that of what is idle.
  for (const int policy : {SCHED_OTHER, SCHED_IDLE}) {
    rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(sched_setscheduler),
         {equals(1, static_cast<unsigned>(policy))});
  }
  if (needs.engine != tun::EngineKind::epoll) {
    rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(io_uring_enter));
    for (const std::uint32_t what : registrations_allowed) {
      rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(io_uring_register), {equals(1, what)});
    }
  }
  if (needs.steering) {
    for (const std::uint32_t command : map_commands_allowed) {
      rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(bpf), {equals(0, command)});
    }
    // The program leaves the TUN at the end.
    rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), {equals(1, TUNSETSTEERINGEBPF)});
  }
}

// The whole process where the kernel can (4.14), else by a signal that ends it.
std::uint32_t fatal_action() noexcept {
  constexpr unsigned level_of_kill_process = 3;
  return ::seccomp_api_get() >= level_of_kill_process ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_TRAP;
}

// 0, or a positive errno.
int load(SandboxMode mode, const SandboxNeeds& needs) {
  const std::uint32_t fatal = fatal_action();
  const std::uint32_t rest = mode == SandboxMode::kill ? fatal : SCMP_ACT_ERRNO(ENOSYS);
  const Filter filter{::seccomp_init(rest)};
  if (filter == nullptr) {
    return ENOMEM;
  }
  // All threads at once, or none: since Linux 3.17.
  if (const int code = ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); code != 0) {
    return -code;
  }
  // Kernels before 5.16 make a filtered thread slower against Spectre v4, for the sake of programs
  // that run the code of others; and older ones than 5.11 ask the filter about each call: a tree.
  static_cast<void>(::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_SSB, 1));
  static_cast<void>(::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2));
  for (const auto& calls : {std::span<const int>{calls_of_packets},
                            {calls_of_sockets},
                            {calls_of_memory_and_files},
                            {calls_of_the_process}}) {
    for (const int call : calls) {
      rule(filter, SCMP_ACT_ALLOW, call);
    }
  }
  for (const int call :
       rest == fatal ? std::span<const int>{} : std::span<const int>{fatal_calls}) {
    rule(filter, fatal, call);
  }
  allow_conditionally(filter, needs);
  return -::seccomp_load(filter.get());
}

}  // namespace

std::string enter_sandbox(SandboxMode mode, const SandboxNeeds& needs) {
  if (mode == SandboxMode::off) {
    return "off (by option)";
  }
  if constexpr (sanitized) {
    return "off (a build with sanitizers makes calls of its own)";
  }
  if (const int error = load(mode, needs); error != 0) {
    if (mode == SandboxMode::kill) {
      fail_setup("--sandbox=kill: seccomp: {}", errno_text(error));
    }
    return fmt::format("off (seccomp: {})", errno_text(error));
  }
  return mode == SandboxMode::kill ? "on (any other system call ends the process)" : "on";
}

}  // namespace wgring::daemon

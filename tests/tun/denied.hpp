// System calls that fail for one thread, as on a kernel or in a container that does not have them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <thread>

#include <errno.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

namespace wgring::tun::test {

// A call, or only those of it with this argument; little-endian machines.
struct Denied {
  unsigned call;
  unsigned error;
  bool any_argument = true;
  std::uint32_t argument = 0;
  unsigned argument_number = 0;
};

// As before Linux 5.10.
inline constexpr Denied restricting_a_ring{.call = SYS_io_uring_register,
                                           .error = EINVAL,
                                           .any_argument = false,
                                           .argument = IORING_REGISTER_RESTRICTIONS,
                                           .argument_number = 1};

// For the calling thread, for good; several add up.
inline bool deny(const Denied& denied) {
  const std::uint32_t argument_at =
      offsetof(seccomp_data, args) +
      denied.argument_number * static_cast<std::uint32_t>(sizeof(std::uint64_t));
  const std::uint8_t past_argument = denied.any_argument ? 2 : 0;
  const std::array<sock_filter, 7> program{
      sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 4, denied.call},
      sock_filter{BPF_JMP | BPF_JA, 0, 0, past_argument},
      sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, argument_at},
      sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, denied.argument},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | denied.error},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  const sock_fprog filter{.len = program.size(),
                          .filter = const_cast<sock_filter*>(program.data())};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// Runs the check on a thread of its own.
template <typename Check>
void with_denied(const Denied& denied, Check check) {
  std::thread([&] {
    ASSERT_TRUE(deny(denied));
    check();
  }).join();
}

}  // namespace wgring::tun::test

// A seccomp filter that lets everything pass but what it is told.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>

#include <seccomp.h>

namespace wgring::persona {

// The low 32 bits of an argument: the kernel reads no more of an int or of an ioctl request.
[[nodiscard]] scmp_arg_cmp equals(unsigned argument, std::uint32_t value);
[[nodiscard]] scmp_arg_cmp has_bit(unsigned argument, std::uint32_t bit);
[[nodiscard]] scmp_arg_cmp at_least(unsigned argument, std::uint64_t value);

// Errors leave as std::runtime_error.
class Filter {
 public:
  Filter();

  // The call is not made and gives this errno when all conditions hold.
  void refuse(int call, int error, std::initializer_list<scmp_arg_cmp> conditions = {});
  // The call waits for what the supervisor says.
  void ask(int call, std::initializer_list<scmp_arg_cmp> conditions = {});
  // For good: holds for this process, what it executes and all its children. Returns the
  // descriptor on which the supervisor is asked, or -1 when it never is.
  [[nodiscard]] int load();

 private:
  void add(std::uint32_t action, int call, std::initializer_list<scmp_arg_cmp> conditions);

  struct Release {
    void operator()(void* context) const noexcept { ::seccomp_release(context); }
  };
  std::unique_ptr<void, Release> context_;
  bool asks_ = false;
};

}  // namespace wgring::persona

#include "tests/persona/filter.hpp"

#include <stdexcept>
#include <string>
#include <system_error>

namespace wgring::persona {
namespace {

constexpr std::uint64_t low_half = 0xffffffff;

void check(int result, const char* call) {
  if (result < 0) {
    throw std::system_error(-result, std::generic_category(), call);
  }
}

}  // namespace

scmp_arg_cmp equals(unsigned argument, std::uint32_t value) {
  return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = low_half, .datum_b = value};
}

scmp_arg_cmp has_bit(unsigned argument, std::uint32_t bit) {
  return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = bit, .datum_b = bit};
}

scmp_arg_cmp at_least(unsigned argument, std::uint64_t value) {
  return {.arg = argument, .op = SCMP_CMP_GE, .datum_a = value, .datum_b = 0};
}

Filter::Filter() : context_(::seccomp_init(SCMP_ACT_ALLOW)) {
  if (!context_) {
    throw std::runtime_error("seccomp_init() gave no filter");
  }
  // Some kernels slow a filtered process down against speculation; what is measured under a
  // persona would be the price of that.
  check(::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_SSB, 1), "seccomp_attr_set()");
}

void Filter::refuse(int call, int error, std::initializer_list<scmp_arg_cmp> conditions) {
  add(SCMP_ACT_ERRNO(static_cast<std::uint32_t>(error)), call, conditions);
}

void Filter::ask(int call, std::initializer_list<scmp_arg_cmp> conditions) {
  asks_ = true;
  add(SCMP_ACT_NOTIFY, call, conditions);
}

int Filter::load() {
  check(::seccomp_load(context_.get()), "seccomp_load()");
  return asks_ ? ::seccomp_notify_fd(context_.get()) : -1;
}

void Filter::add(std::uint32_t action, int call, std::initializer_list<scmp_arg_cmp> conditions) {
  const auto count = static_cast<unsigned>(conditions.size());
  check(::seccomp_rule_add_array(context_.get(), action, call, count, conditions.begin()),
        "seccomp_rule_add_array()");
}

}  // namespace wgring::persona

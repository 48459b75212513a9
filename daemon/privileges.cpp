#include "daemon/privileges.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <vector>

#include <cap-ng.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "daemon/hardening.hpp"
#include "daemon/setup_error.hpp"

namespace wgring::daemon {
namespace {

constexpr unsigned cap_bpf = 39;  // since Linux 5.8, later than some headers

bool has(unsigned capability) noexcept {
  return ::capng_have_capability(CAPNG_PERMITTED, capability) == 1;
}

std::optional<uid_t> number_of(const std::string& text) noexcept {
  uid_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  return whole && number != static_cast<uid_t>(-1) ? std::optional{number} : std::nullopt;
}

std::optional<Account> account_of(const passwd* entry) noexcept {
  if (entry == nullptr) {
    return std::nullopt;
  }
  return Account{.uid = entry->pw_uid, .gid = entry->pw_gid};
}

// Into the state of libcap-ng; their names.
std::vector<std::string> choose_kept(const PrivilegeNeeds& needs) {
  std::vector<unsigned> wanted{CAP_NET_ADMIN, CAP_NET_BIND_SERVICE};
  if (locked_memory_is_limited()) {
    wanted.push_back(CAP_IPC_LOCK);
  }
  if (needs.steering) {
    wanted.push_back(cap_bpf);
  }
  if (::capng_get_caps_process() != 0) {
    fail_setup("cannot read the capabilities of this process");
  }
  std::erase_if(wanted, [](unsigned capability) { return !has(capability); });
  ::capng_clear(CAPNG_SELECT_ALL);
  std::vector<std::string> names;
  for (const unsigned capability : wanted) {
    static_cast<void>(::capng_update(CAPNG_ADD, CAPNG_EFFECTIVE, capability));
    static_cast<void>(::capng_update(CAPNG_ADD, CAPNG_PERMITTED, capability));
    const char* const name = ::capng_capability_to_name(capability);
    names.emplace_back(name != nullptr ? name : std::to_string(capability));
  }
  return names;
}

void become(const Account& account) {
  if (const int code = ::capng_change_id(static_cast<int>(account.uid),
                                         static_cast<int>(account.gid), CAPNG_DROP_SUPP_GRP);
      code != 0) {
    fail_setup("--user: cannot become user {} of group {}: start as root ({})", account.uid,
               account.gid, code);
  }
  std::array<uid_t, 3> users{};
  std::array<gid_t, 3> groups{};
  const bool stuck = ::getresuid(&users[0], &users[1], &users[2]) == 0 &&
                     ::getresgid(&groups[0], &groups[1], &groups[2]) == 0 &&
                     users == std::array{account.uid, account.uid, account.uid} &&
                     groups == std::array{account.gid, account.gid, account.gid} &&
                     ::getgroups(0, nullptr) == 0 && (account.uid == 0 || ::setuid(0) != 0);
  if (!stuck) {
    fail_setup("--user: the change to user {} did not hold", account.uid);
  }
}

}  // namespace

Account find_account(const std::string& user) {
  if (const auto named = account_of(::getpwnam(user.c_str()))) {
    return *named;
  }
  const std::optional<uid_t> number = number_of(user);
  if (!number) {
    fail_setup("--user: no user '{}'", user);
  }
  return account_of(::getpwuid(*number)).value_or(Account{.uid = *number, .gid = *number});
}

std::string drop_privileges(const std::optional<Account>& account, const PrivilegeNeeds& needs) {
  const std::vector<std::string> kept = choose_kept(needs);
  // Needs CAP_SETPCAP, which a container may not give; what cannot be had by exec() is refused by
  // the sandbox as well.
  static_cast<void>(::capng_apply(CAPNG_SELECT_BOUNDS));
  if (account) {
    become(*account);
  } else if (::capng_apply(CAPNG_SELECT_CAPS) != 0) {
    fail_setup("cannot give up capabilities: {}", errno_text(errno));
  }
  forbid_dumps();
  return fmt::format("{}; user {}",
                     kept.empty() ? "none" : fmt::format("{}", fmt::join(kept, ", ")), ::geteuid());
}

bool has_lock_capability() noexcept { return ::capng_get_caps_process() == 0 && has(CAP_IPC_LOCK); }

}  // namespace wgring::daemon

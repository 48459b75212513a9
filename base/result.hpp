// Result<T>: a value or an Error. Errors of the kernel and of set-up only; packets have Drop.
#pragma once

#include <expected>
#include <string_view>

namespace wgring {

// `errno_value` is a positive errno. `what` names the call and the likely cause; it points to
// static storage (nothing is allocated to fail).
struct Error {
  int errno_value = 0;
  std::string_view what;
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

[[nodiscard]] inline std::unexpected<Error> fail(int errno_value, std::string_view what) noexcept {
  return std::unexpected<Error>(Error{.errno_value = errno_value, .what = what});
}

}  // namespace wgring

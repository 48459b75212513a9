// The text configuration protocol's sending half: what `get` and `set` are answered.
#pragma once

#include "daemon/config_target.hpp"
#include "daemon/text_buffer.hpp"

namespace wgring::daemon {

// The sign that `wg` expects: it negates what a set was answered, and takes digits only for a get.
enum class ErrnoSign : std::uint8_t { positive, negative };

// Upper bounds of what the functions below append.
inline constexpr std::size_t device_text_bytes_max = 160;
inline constexpr std::size_t peer_text_bytes_max = 576;
inline constexpr std::size_t prefix_text_bytes_max = 64;
inline constexpr std::size_t errno_text_bytes_max = 32;

void append_device(TextBuffer& text, const DeviceStatus& status) noexcept;
void append_page(TextBuffer& text, const PeerPage& page) noexcept;
// The line that ends every reply, and the blank line behind it.
void append_errno(TextBuffer& text, int errno_value, ErrnoSign sign) noexcept;

[[nodiscard]] std::size_t page_text_bytes_max(const PeerPage& page) noexcept;

}  // namespace wgring::daemon

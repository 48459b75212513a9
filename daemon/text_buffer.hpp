// Text that may hold keys: one allocation at a time, wiped before it is given back.
#pragma once

#include <charconv>
#include <memory>
#include <string_view>

#include "base/bytes.hpp"
#include "crypto/secret.hpp"

namespace wgring::daemon {

class TextBuffer {
 public:
  TextBuffer() noexcept = default;
  TextBuffer(const TextBuffer&) = delete;
  TextBuffer& operator=(const TextBuffer&) = delete;
  ~TextBuffer() { clear(); }

  // Empties the buffer and makes room for `bytes`; appending past it is a bug.
  void restart(std::size_t bytes) {
    clear();
    if (bytes > capacity_) {
      text_ = std::make_unique<char[]>(bytes);  // NOLINT: a raw block of characters is meant
      capacity_ = bytes;
    }
  }
  void clear() noexcept {
    crypto::wipe({reinterpret_cast<std::uint8_t*>(text_.get()), size_});  // NOLINT: as bytes
    size_ = 0;
  }

  void append(std::string_view text) noexcept {
    const std::span<char> to = append_space(text.size());
    std::copy(text.begin(), text.end(), to.begin());
  }
  void append_number(std::uint64_t number) noexcept {
    const auto written = std::to_chars(text_.get() + size_, text_.get() + capacity_, number);
    WG_ASSERT(written.ec == std::errc{});
    size_ = static_cast<std::size_t>(written.ptr - text_.get());
  }
  // Room for `bytes` characters that the caller fills at once.
  [[nodiscard]] std::span<char> append_space(std::size_t bytes) noexcept {
    WG_ASSERT(capacity_ - size_ >= bytes);
    const std::span<char> space{text_.get() + size_, bytes};
    size_ += bytes;
    return space;
  }

  [[nodiscard]] std::string_view view() const noexcept { return {text_.get(), size_}; }
  [[nodiscard]] std::size_t capacity_bytes() const noexcept { return capacity_; }

 private:
  std::unique_ptr<char[]> text_;  // NOLINT: a raw block of characters is meant
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

}  // namespace wgring::daemon

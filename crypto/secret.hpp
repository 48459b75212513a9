// Key material with one owner, and the only comparisons that secrets may meet.
#pragma once

#include "base/bytes.hpp"

namespace wgring::crypto {

inline constexpr std::size_t key_bytes = 32;
inline constexpr std::size_t tag_bytes = 16;
inline constexpr std::size_t hash_bytes = 32;
inline constexpr std::size_t mac_bytes = 16;

// Zeroes in a way that the optimiser may not remove.
void wipe(MutableBytes bytes) noexcept;

// Time depends on the sizes only, which are public; unequal sizes are unequal.
[[nodiscard]] bool ct_equal(Bytes a, Bytes b) noexcept;
[[nodiscard]] bool ct_is_zero(Bytes bytes) noexcept;

// N secret bytes, wiped on destruction and when moved from. Copies are made by clone() alone, so
// that each one is seen in review; there is no operator==, see ct_equal.
template <std::size_t N>
class Secret {
 public:
  Secret() noexcept = default;
  explicit Secret(BytesOf<N> bytes) noexcept { copy_bytes(bytes_, bytes); }
  Secret(Secret&& other) noexcept : bytes_(other.bytes_) { other.wipe(); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      bytes_ = other.bytes_;
      other.wipe();
    }
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { wipe(); }

  // Loans: they end with the statement that uses them, and never outlive the Secret.
  [[nodiscard]] BytesOf<N> view() const noexcept { return bytes_; }
  [[nodiscard]] MutableBytesOf<N> fill() noexcept { return bytes_; }

  [[nodiscard]] Secret clone() const noexcept { return Secret(view()); }
  void wipe() noexcept { crypto::wipe(bytes_); }

 private:
  ByteArray<N> bytes_{};
};

}  // namespace wgring::crypto

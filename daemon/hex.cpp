#include "daemon/hex.hpp"

namespace wgring::daemon {
namespace {

// All ones when low <= value <= high, else zero; for values below 2^31, without a branch.
std::uint32_t mask_in_range(std::uint32_t value, std::uint32_t low, std::uint32_t high) noexcept {
  return (((value - low) | (high - value)) >> 31) - 1;
}

struct Nibble {
  std::uint32_t value;
  std::uint32_t valid;  // mask
};

Nibble decode_digit(char digit) noexcept {
  const std::uint32_t c = static_cast<unsigned char>(digit);
  const std::uint32_t decimal = mask_in_range(c, '0', '9');
  const std::uint32_t lower = mask_in_range(c, 'a', 'f');
  const std::uint32_t upper = mask_in_range(c, 'A', 'F');
  const std::uint32_t value =
      (decimal & (c - '0')) | (lower & (c - 'a' + 10)) | (upper & (c - 'A' + 10));
  return {.value = value, .valid = decimal | lower | upper};
}

char encode_nibble(std::uint32_t value) noexcept {
  const std::uint32_t is_letter = (9 - value) >> 31;
  return static_cast<char>('0' + value + is_letter * ('a' - '0' - 10));
}

}  // namespace

bool decode_key(std::string_view digits, MutableBytesOf<32> key) noexcept {
  fill_zero(key);
  if (digits.size() != key_digits) {
    return false;
  }
  std::uint32_t valid = ~std::uint32_t{0};
  for (std::size_t i = 0; i < key.size(); ++i) {
    const Nibble high = decode_digit(digits[2 * i]);
    const Nibble low = decode_digit(digits[2 * i + 1]);
    valid &= high.valid & low.valid;
    key[i] = static_cast<std::uint8_t>(high.value << 4 | low.value);
  }
  if (valid == 0) {
    fill_zero(key);
  }
  return valid != 0;
}

void encode_key(BytesOf<32> key, std::span<char, key_digits> digits) noexcept {
  for (std::size_t i = 0; i < key.size(); ++i) {
    digits[2 * i] = encode_nibble(static_cast<std::uint32_t>(key[i]) >> 4);
    digits[2 * i + 1] = encode_nibble(key[i] & 0x0fU);
  }
}

}  // namespace wgring::daemon

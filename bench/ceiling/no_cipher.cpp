// The daemon with a cipher that only copies: what every data path of ours costs without it. The
// program of this file is a ceiling for the duel; nobody's packets are safe in it, and nothing of
// it is in wgring. The linker puts this in the place of crypto::choose_aead() (CMakeLists.txt).
#include <cstring>
#include <span>
#include <string_view>

#include "crypto/self_test.hpp"

namespace wgring::bench {
namespace {

void seal(BytesOf<32> /*key*/, std::span<const crypto::SealSegment> train) noexcept {
  for (const crypto::SealSegment& segment : train) {
    if (segment.sealed != segment.plain) {
      std::memcpy(segment.sealed, segment.plain, segment.plain_bytes);
    }
    std::memset(segment.sealed + segment.plain_bytes, 0, crypto::tag_bytes);
  }
}

void open(BytesOf<32> /*key*/, std::span<crypto::OpenSegment> train) noexcept {
  for (crypto::OpenSegment& segment : train) {
    segment.opened = segment.sealed_bytes >= crypto::tag_bytes;
    if (segment.opened && segment.plain != segment.sealed) {
      std::memcpy(segment.plain, segment.sealed, segment.sealed_bytes - crypto::tag_bytes);
    }
  }
}

constexpr crypto::Aead no_cipher{.name = "no cipher: NOT SAFE", .seal = &seal, .open = &open};

}  // namespace
}  // namespace wgring::bench

// What the linker finds in its place.
[[nodiscard]] wgring::Result<const wgring::crypto::Aead*> choose_no_cipher(
    std::string_view forced) noexcept
    __asm__("__wrap__ZN6wgring6crypto11choose_aeadESt17basic_string_viewIcSt11char_traitsIcEE");

wgring::Result<const wgring::crypto::Aead*> choose_no_cipher(std::string_view /*forced*/) noexcept {
  return &wgring::bench::no_cipher;
}

#include "crypto/blake2s.hpp"

#include <blake2.h>

#include "crypto/blake2s_keyed.hpp"
#include "crypto/secret.hpp"

namespace wgring::crypto {
namespace {

constexpr std::size_t block_bytes = 64;

// One hash in progress; its state is as secret as what went in, so it is wiped.
class Hasher {
 public:
  explicit Hasher(std::size_t output_bytes) noexcept {
    WG_ASSERT(blake2s_init(&state_, output_bytes) == 0);
  }
  Hasher(std::size_t output_bytes, Bytes key) noexcept {
    WG_ASSERT(blake2s_init_key(&state_, output_bytes, key.data(), key.size()) == 0);
  }
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  ~Hasher() { wipe(MutableBytes(reinterpret_cast<std::uint8_t*>(&state_), sizeof state_)); }

  void add(Bytes bytes) noexcept {
    if (!bytes.empty()) {
      WG_ASSERT(blake2s_update(&state_, bytes.data(), bytes.size()) == 0);
    }
  }
  void finish(MutableBytes output) noexcept {
    WG_ASSERT(blake2s_final(&state_, output.data(), output.size()) == 0);
  }

 private:
  blake2s_state state_{};
};

void flip(MutableBytesOf<block_bytes> block, std::uint8_t pattern) noexcept {
  for (std::uint8_t& byte : block) {
    byte = static_cast<std::uint8_t>(byte ^ pattern);
  }
}

}  // namespace

void hash(MutableBytesOf<32> digest, Bytes a, Bytes b) noexcept {
  Hasher hasher(digest.size());
  hasher.add(a);
  hasher.add(b);
  hasher.finish(digest);
}

void keyed_hash(MutableBytes output, Bytes key, Bytes a, Bytes b) noexcept {
  WG_ASSERT(!key.empty());
  WG_ASSERT(key.size() <= BLAKE2S_KEYBYTES);
  Hasher hasher(output.size(), key);
  hasher.add(a);
  hasher.add(b);
  hasher.finish(output);
}

void mac(MutableBytesOf<16> tag, Bytes key, Bytes a, Bytes b) noexcept {
  keyed_hash(tag, key, a, b);
}

void hmac(MutableBytesOf<32> tag, Bytes key, Bytes a, Bytes b) noexcept {
  constexpr std::uint8_t inner_pattern = 0x36;
  constexpr std::uint8_t outer_pattern = 0x5c;
  Secret<block_bytes> block;
  if (key.size() > block_bytes) {
    hash(block.fill().first<hash_bytes>(), key);
  } else {
    copy_bytes(block.fill(), key);
  }
  Secret<hash_bytes> inner;
  flip(block.fill(), inner_pattern);
  Hasher inner_hasher(hash_bytes);
  inner_hasher.add(block.view());
  inner_hasher.add(a);
  inner_hasher.add(b);
  inner_hasher.finish(inner.fill());

  flip(block.fill(), inner_pattern ^ outer_pattern);
  hash(tag, block.view(), inner.view());
}

}  // namespace wgring::crypto

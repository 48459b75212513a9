#include "crypto/kdf.hpp"

#include "crypto/blake2s.hpp"
#include "crypto/secret.hpp"

namespace wgring::crypto {
namespace {

Secret<hash_bytes> extract(Bytes chaining_key, Bytes input) noexcept {
  Secret<hash_bytes> t0;
  hmac(t0.fill(), chaining_key, input);
  return t0;
}

// t[n] = HMAC(t0, t[n-1] || n); there is no t[0] before the first.
void expand(MutableBytesOf<32> out, const Secret<hash_bytes>& t0, Bytes previous,
            std::uint8_t number) noexcept {
  hmac(out, t0.view(), previous, Bytes(&number, 1));
}

}  // namespace

void kdf1(MutableBytesOf<32> t1, BytesOf<32> chaining_key, Bytes input) noexcept {
  const Secret<hash_bytes> t0 = extract(chaining_key, input);
  expand(t1, t0, {}, 1);
}

void kdf2(MutableBytesOf<32> t1, MutableBytesOf<32> t2, BytesOf<32> chaining_key,
          Bytes input) noexcept {
  const Secret<hash_bytes> t0 = extract(chaining_key, input);
  expand(t1, t0, {}, 1);
  expand(t2, t0, t1, 2);
}

void kdf3(MutableBytesOf<32> t1, MutableBytesOf<32> t2, MutableBytesOf<32> t3,
          BytesOf<32> chaining_key, Bytes input) noexcept {
  const Secret<hash_bytes> t0 = extract(chaining_key, input);
  expand(t1, t0, {}, 1);
  expand(t2, t0, t1, 2);
  expand(t3, t0, t2, 3);
}

}  // namespace wgring::crypto

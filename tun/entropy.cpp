#include "tun/entropy.hpp"

#include "crypto/random.hpp"

namespace wgring::tun {

noise::Entropy system_entropy() noexcept {
  return {.context = nullptr,
          .fill = [](void*, MutableBytes to) noexcept { return crypto::random_bytes(to); }};
}

}  // namespace wgring::tun

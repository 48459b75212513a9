#include "tests/sim/host.hpp"

#include <sys/mman.h>

#include "crypto/aead.hpp"

namespace wgring::sim {
namespace {

constexpr std::size_t train_slot_bytes = noise::train_bytes_max + 64;
constexpr std::size_t packet_slot_bytes = 2048;

noise::SocketAddress first_address(noise::Family family, std::size_t position) noexcept {
  noise::SocketAddress address{.ip = {.family = family, .bytes = {}}, .port = 51820, .scope_id = 0};
  if (family == noise::Family::v4) {
    address.ip.bytes[0] = 192;
    address.ip.bytes[2] = 2;
    address.ip.bytes[3] = static_cast<std::uint8_t>(position + 1);
  } else {
    address.ip.bytes[0] = 0x20;
    address.ip.bytes[1] = 0x01;
    address.ip.bytes[15] = static_cast<std::uint8_t>(position + 1);
  }
  return address;
}

// The kernel commits a page at its first touch, so commit() has nothing to do.
MemorySource lazy_memory() noexcept {
  return {.context = nullptr,
          .reserve = [](void*, std::size_t bytes) noexcept -> std::uint8_t* {
            void* const base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            return base == MAP_FAILED ? nullptr : static_cast<std::uint8_t*>(base);
          },
          .commit = [](void*, std::uint8_t*, std::size_t, std::size_t) noexcept { return true; },
          .release = [](void*, std::uint8_t* base,
                        std::size_t bytes) noexcept { ::munmap(base, bytes); }};
}

}  // namespace

crypto::Secret<32> key_of(std::uint64_t seed) noexcept {
  Random random(seed ^ 0x6b65795f6f66ULL);
  crypto::Secret<32> key;
  random.fill(key.fill());
  crypto::clamp(key.fill());
  return key;
}

crypto::PublicKey public_of(const crypto::Secret<32>& key) noexcept {
  crypto::PublicKey out{};
  crypto::x25519_public(out, key.view());
  return out;
}

Host::Host(const HostSetup& setup, Now now)
    : v4(first_address(noise::Family::v4, setup.position)),
      v6(first_address(noise::Family::v6, setup.position)),
      entropy(setup.seed),
      position_(setup.position),
      trains_(setup.train_slots, train_slot_bytes),
      packets_(setup.packet_slots, packet_slot_bytes) {
  auto opened = noise::Device::open({.memory = lazy_memory(),
                                     .entropy = entropy.entropy(),
                                     .aead = &crypto::aead_boringssl(),
                                     .train_pool = &trains_.pool(),
                                     .packet_pool = &packets_.pool(),
                                     .shard = setup.shard,
                                     .shard_bits = setup.shard_bits,
                                     .mark = noise::IndexMark{0x9e37'79b1U, 0},
                                     .now = now,
                                     .runner = setup.runner,
                                     .prefixes = setup.prefixes});
  WG_ASSERT(opened.has_value());
  device_.emplace(std::move(*opened));
  if (setup.with_key) {
    device_->set_private_key(key_of(setup.seed), now, outbox);
    WG_ASSERT(outbox.empty());
  }
}

}  // namespace wgring::sim

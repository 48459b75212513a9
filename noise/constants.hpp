// Every number of the protocol, in one place (protocol section 2; the kernel's values).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/time.hpp"

namespace wgring::noise {

using namespace std::chrono_literals;

inline constexpr std::uint64_t rekey_after_messages = std::uint64_t{1} << 60;
inline constexpr std::uint64_t replay_ring_bits = 8192;
inline constexpr std::uint64_t replay_word_bits = 64;
// One word of the ring is given up so that a whole word can be cleared at a time.
inline constexpr std::uint64_t replay_window = replay_ring_bits - replay_word_bits;
// 2^64 - 8130: the kernel's limit on 64-bit machines; counters from here on are refused both ways.
inline constexpr std::uint64_t reject_after_messages = ~std::uint64_t{0} - replay_window - 1;

inline constexpr Duration rekey_after_time = 120s;
inline constexpr Duration reject_after_time = 180s;
inline constexpr Duration rekey_timeout = 5s;
inline constexpr Duration rekey_timeout_jitter_max = Duration{1'000'000'000 / 3};
inline constexpr Duration keepalive_timeout = 10s;
inline constexpr Duration rekey_after_time_receiving =
    reject_after_time - keepalive_timeout - rekey_timeout;
inline constexpr std::uint32_t timer_handshakes_max = 18;
inline constexpr Duration zero_key_time = 3 * reject_after_time;
inline constexpr Duration cookie_secret_age_max = 120s;
inline constexpr Duration cookie_secret_latency = 5s;
inline constexpr std::uint32_t initiations_per_second = 50;

inline constexpr std::size_t incoming_handshakes_max = 4096;
inline constexpr std::size_t under_load_handshakes = incoming_handshakes_max / 8;
inline constexpr Duration under_load_hold = 1s;
inline constexpr std::size_t staged_packets_max = 128;
inline constexpr std::uint32_t peers_max = std::uint32_t{1} << 20;

inline constexpr std::size_t padding_multiple = 16;
inline constexpr std::uint32_t mtu_default = 1420;
inline constexpr std::uint8_t handshake_traffic_class = 0x88;  // AF41, ECN 00

static_assert(reject_after_messages == 0xffff'ffff'ffff'e03eULL);
static_assert(rekey_after_time_receiving == 165s);
static_assert(under_load_handshakes == 512);

}  // namespace wgring::noise

// Messages made before the flood begins: initiations with a valid mac1 and noise behind it.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "crypto/blake2s.hpp"

namespace load {

inline constexpr std::size_t initiation_bytes = 148;
inline constexpr std::size_t mac1_at = 116;
inline constexpr std::size_t mac2_at = 132;
inline constexpr std::size_t messages_made = 4096;

using Initiation = std::array<std::uint8_t, initiation_bytes>;
using Key = std::array<std::uint8_t, 32>;

// HASH(label || public key): of mac1, and of the cookies that the receiver seals.
inline Key labelled_key(const char (&label)[9], const Key& receiver) {
  Key key{};
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(label);
  wgring::crypto::hash(key, wgring::Bytes{bytes, 8}, receiver);
  return key;
}

inline void fill_with_noise(Initiation& message, std::mt19937_64& noise) {
  for (std::size_t at = 0; at < message.size(); ++at) {
    message[at] = static_cast<std::uint8_t>(noise());
  }
}

// The sender index is the number of the message: a cookie reply names it.
inline std::vector<Initiation> initiations(const Key& receiver, std::mt19937_64& noise) {
  const Key key = labelled_key("mac1----", receiver);
  std::vector<Initiation> messages(messages_made);
  for (std::uint32_t number = 0; number < messages.size(); ++number) {
    Initiation& message = messages[number];
    fill_with_noise(message, noise);
    const std::array<std::uint8_t, 8> head{
        1, 0, 0, 0, static_cast<std::uint8_t>(number), static_cast<std::uint8_t>(number >> 8U),
        0, 0};
    std::memcpy(message.data(), head.data(), head.size());
    std::memset(message.data() + mac2_at, 0, initiation_bytes - mac2_at);
    std::array<std::uint8_t, 16> mac1{};
    wgring::crypto::mac(mac1, key, wgring::Bytes{message}.first(mac1_at));
    std::memcpy(message.data() + mac1_at, mac1.data(), mac1.size());
  }
  return messages;
}

// Every second one says that it has a cookie.
inline std::vector<Initiation> with_false_mac2(std::vector<Initiation> messages,
                                               std::mt19937_64& noise) {
  for (std::size_t number = 0; number < messages.size(); number += 2) {
    for (std::size_t at = mac2_at; at < initiation_bytes; ++at) {
      messages[number][at] = static_cast<std::uint8_t>(noise());
    }
  }
  return messages;
}

}  // namespace load

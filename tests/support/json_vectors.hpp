// Test vectors: JSON files of tests/vectors, hex inside. Everything throws std::runtime_error with
// the file, key or text at fault, so that a damaged vector file cannot pass for an empty one.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"

namespace wgring::test {

using Buffer = std::vector<std::uint8_t>;

// load_vectors("rfc7748_x25519") reads tests/vectors/rfc7748_x25519.json.
[[nodiscard]] boost::json::value load_vectors(std::string_view name);

[[nodiscard]] Buffer unhex(std::string_view text);
[[nodiscard]] std::string hex(Bytes bytes);

// Members of a JSON object; the key must be there and of that kind.
[[nodiscard]] std::string text_of(const boost::json::object& object, std::string_view key);
[[nodiscard]] Buffer bytes_of(const boost::json::object& object, std::string_view key);
[[nodiscard]] const boost::json::array& array_of(const boost::json::object& object,
                                                 std::string_view key);

// Exactly N bytes of hex.
template <std::size_t N>
[[nodiscard]] ByteArray<N> unhex_array(std::string_view text) {
  const Buffer bytes = unhex(text);
  if (bytes.size() != N) {
    throw std::runtime_error("expected " + std::to_string(N) +
                             " bytes of hex: " + std::string(text));
  }
  ByteArray<N> out{};
  copy_bytes(out, bytes);
  return out;
}
template <std::size_t N>
[[nodiscard]] ByteArray<N> array_field(const boost::json::object& object, std::string_view key) {
  return unhex_array<N>(text_of(object, key));
}

}  // namespace wgring::test

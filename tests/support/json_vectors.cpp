#include "tests/support/json_vectors.hpp"

#include <boost/json/src.hpp>
#include <fstream>
#include <iterator>

namespace wgring::test {
namespace {

const boost::json::value& member(const boost::json::object& object, std::string_view key) {
  const boost::json::value* found = object.if_contains(key);
  if (found == nullptr) {
    throw std::runtime_error("no member " + std::string(key));
  }
  return *found;
}

std::uint8_t nibble(char digit) {
  if (digit >= '0' && digit <= '9') {
    return static_cast<std::uint8_t>(digit - '0');
  }
  if (digit >= 'a' && digit <= 'f') {
    return static_cast<std::uint8_t>(digit - 'a' + 10);
  }
  if (digit >= 'A' && digit <= 'F') {
    return static_cast<std::uint8_t>(digit - 'A' + 10);
  }
  throw std::runtime_error(std::string("not a hex digit: ") + digit);
}

}  // namespace

boost::json::value load_vectors(std::string_view name) {
  const std::string path = std::string(WGRING_VECTORS "/") + std::string(name) + ".json";
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::runtime_error("cannot read " + path);
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  boost::json::error_code error;
  boost::json::value value = boost::json::parse(text, error);
  if (error) {
    throw std::runtime_error(path + ": " + error.message());
  }
  return value;
}

Buffer unhex(std::string_view text) {
  if (text.size() % 2 != 0) {
    throw std::runtime_error("odd number of hex digits: " + std::string(text));
  }
  Buffer out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const unsigned value = nibble(text[i]) * 16U + nibble(text[i + 1]);
    out.push_back(static_cast<std::uint8_t>(value));
  }
  return out;
}

std::string hex(Bytes bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    out.push_back(digits[byte >> 4U]);
    out.push_back(digits[byte & 15U]);
  }
  return out;
}

std::string text_of(const boost::json::object& object, std::string_view key) {
  const boost::json::value& value = member(object, key);
  if (!value.is_string()) {
    throw std::runtime_error("not a string: " + std::string(key));
  }
  return std::string(std::string_view(value.get_string()));
}

Buffer bytes_of(const boost::json::object& object, std::string_view key) {
  return unhex(text_of(object, key));
}

const boost::json::array& array_of(const boost::json::object& object, std::string_view key) {
  const boost::json::value& value = member(object, key);
  if (!value.is_array()) {
    throw std::runtime_error("not an array: " + std::string(key));
  }
  return value.get_array();
}

}  // namespace wgring::test

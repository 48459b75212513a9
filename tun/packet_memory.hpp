// PacketMemory: pages for packets of users.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.hpp"

namespace wgring::tun {

// Out of core dumps, and not copied into children; committed by the kernel as it is touched.
class PacketMemory {
 public:
  PacketMemory() noexcept = default;
  PacketMemory(const PacketMemory&) = delete;
  PacketMemory& operator=(const PacketMemory&) = delete;
  ~PacketMemory();

  // Once. `what` is the whole error text.
  [[nodiscard]] Status open(std::size_t bytes, std::string_view what) noexcept;
  // nullptr before open(); page-aligned, all zero at first.
  [[nodiscard]] std::uint8_t* data() const noexcept { return data_; }

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace wgring::tun

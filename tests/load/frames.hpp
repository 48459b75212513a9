// Ethernet frames with a source of our choice, sent many at a time over a packet socket.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <sys/socket.h>
#include <sys/uio.h>

namespace load {

using Bytes = std::span<const std::uint8_t>;

enum class Family : bool { v4, v6 };

// Where everything goes; addresses in the order of the wire, of IPv4 the first four bytes.
struct Target {
  int device_index = 0;
  std::array<std::uint8_t, 6> mac{};
  std::array<std::uint8_t, 6> own_mac{};
  Family family = Family::v4;
  std::array<std::uint8_t, 16> address{};
  std::uint16_t port = 0;
};

struct Sent {
  std::uint64_t frames = 0;
  std::uint64_t refused = 0;  // batches that the device did not take
};

[[noreturn]] void fail(const std::string& what);
[[nodiscard]] double now_s() noexcept;  // monotonic

// Owner of the socket and of one batch of headers. A payload is two loans, until flush().
class Frames {
 public:
  static constexpr std::size_t batch_frames = 256;
  static constexpr std::uint16_t source_port = 40'000;

  // Whether what comes back can be read from fd().
  enum class Answers : bool { ignored, received };
  Frames(const Target& target, Answers answers);
  Frames(const Frames&) = delete;
  Frames& operator=(const Frames&) = delete;
  ~Frames();

  // Sends the batch when it is full. The source is that address of IPv4, or the network
  // fd0b:SOUR:CE00::/64 made of it.
  void add(std::uint32_t source, Bytes head, Bytes tail = {});
  void flush();
  [[nodiscard]] const Sent& sent() const noexcept { return sent_; }
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  static constexpr std::size_t ethernet_bytes = 14;
  static constexpr std::size_t ip4_bytes = 20;
  static constexpr std::size_t ip6_bytes = 40;
  static constexpr std::size_t udp_bytes = 8;
  using Header = std::array<std::uint8_t, ethernet_bytes + ip6_bytes + udp_bytes>;

  void open(Answers answers, int device_index);
  void write_constant_part(Header& header, const Target& target) const noexcept;
  void write_ip4(std::uint8_t* ip, std::uint32_t source, std::size_t udp_length) const noexcept;
  static void write_ip6(std::uint8_t* ip, std::uint32_t source, std::size_t udp_length, Bytes head,
                        Bytes tail) noexcept;

  int fd_ = -1;
  Family family_;
  std::size_t ip_bytes_;
  std::uint32_t constant_sum_ = 0;  // of the IPv4 header without length and source
  std::size_t used_ = 0;
  Sent sent_;
  std::vector<Header> headers_;
  std::vector<std::array<iovec, 3>> vectors_;
  std::vector<mmsghdr> messages_;
};

}  // namespace load

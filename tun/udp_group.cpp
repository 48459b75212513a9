#include "tun/udp_group.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <errno.h>
#include <linux/filter.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <sys/socket.h>

#include "crypto/random.hpp"
#include "noise/endpoint.hpp"
#include "noise/messages.hpp"

namespace wgring::tun {
namespace {

constexpr auto number_of(noise::MessageType type) noexcept {
  return static_cast<std::uint32_t>(type);
}

// What the line at the door is a hash of: two words of the IP header, each with a factor.
struct SourceHash {
  std::uint32_t at;
  std::uint32_t factor;
  std::uint32_t next_factor;
};

// Of IPv4 the source, of IPv6 its /64.
Result<SourceHash> draw_source_hash(noise::Family family) noexcept {
  ByteArray<8> random{};
  if (!crypto::random_bytes(random)) {
    return fail(EIO, "the system gives no randomness");
  }
  const std::uint32_t factor = load_le32(&random[0]) | 1U;
  if (family == noise::Family::v4) {
    return SourceHash{.at = offsetof(iphdr, saddr), .factor = factor, .next_factor = 0};
  }
  return SourceHash{.at = offsetof(ip6_hdr, ip6_src),
                    .factor = factor,
                    .next_factor = load_le32(&random[4]) | 1U};
}

constexpr std::uint32_t ip_header(std::uint32_t offset) noexcept {
  return static_cast<std::uint32_t>(SKF_NET_OFF) + offset;
}

// This kernel, or what keeps this process, does not have it: nothing will change that.
bool is_missing(int error) noexcept {
  return error == ENOPROTOOPT || error == EINVAL || error == EPERM || error == EACCES;
}

constexpr std::uint16_t load_byte = BPF_LD | BPF_B | BPF_ABS;
constexpr std::uint16_t load_word = BPF_LD | BPF_W | BPF_ABS;  // big-endian
constexpr std::uint16_t equal = BPF_JMP | BPF_JEQ | BPF_K;
constexpr std::uint16_t at_least = BPF_JMP | BPF_JGE | BPF_K;
constexpr unsigned byte = 8;
static_assert(noise::IndexMark::bits == byte);
static_assert(noise::DataLayout::receiver_index == noise::CookieReplyLayout::receiver_index);

// A jump is over so many instructions.
constexpr std::uint8_t from(std::uint8_t at, std::uint8_t to) noexcept {
  return static_cast<std::uint8_t>(to - at - 1);
}

// Where they are in the program.
constexpr std::uint8_t index_early = 33;
constexpr std::uint8_t index_late = 35;
constexpr std::uint8_t junk = 48;
using Program = std::array<sock_filter, junk + 1>;

// The answer is a number of a socket in the group, in the order they were bound: those of the
// shards, the door's lines, junk. Where a load fails it is the first.
Program steering(std::uint32_t shard_count, noise::IndexMark mark, SourceHash hash) noexcept {
  constexpr std::uint32_t mac2 = noise::InitiationLayout::mac2;
  // Receiver indices are little-endian: the shard is in the first byte, the mark is the last.
  // clang-format off
  return {{
      BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
      BPF_JUMP(at_least, noise::DataLayout::size_min, 0, from(1, junk)),
      BPF_STMT(load_byte, 0),
      BPF_JUMP(equal, number_of(noise::MessageType::data), from(3, index_early), 0),
      BPF_JUMP(equal, number_of(noise::MessageType::cookie_reply), from(4, index_early), 0),
      BPF_JUMP(equal, number_of(noise::MessageType::response), from(5, index_late), 0),
      BPF_JUMP(equal, number_of(noise::MessageType::initiation), 0, from(6, junk)),
      // An initiation, or several in one piece.
      BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
      BPF_JUMP(at_least, noise::InitiationLayout::size, 0, from(8, junk)),
      // Does it have a mac2? Whether that is right the door sees.
      BPF_STMT(load_word, mac2),
      BPF_STMT(BPF_MISC | BPF_TAX, 0),
      BPF_STMT(load_word, mac2 + 4),
      BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0),
      BPF_STMT(BPF_MISC | BPF_TAX, 0),
      BPF_STMT(load_word, mac2 + 8),
      BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0),
      BPF_STMT(BPF_MISC | BPF_TAX, 0),
      BPF_STMT(load_word, mac2 + 12),
      BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0),
      BPF_JUMP(equal, 0, 1, 0),
      BPF_STMT(BPF_LD | BPF_IMM, UdpGroup::line_count),
      BPF_STMT(BPF_ST, 0),
      // The line.
      BPF_STMT(load_word, ip_header(hash.at)),
      BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, hash.factor),
      BPF_STMT(BPF_MISC | BPF_TAX, 0),
      BPF_STMT(load_word, ip_header(hash.at + 4)),
      BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, hash.next_factor),
      BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
      BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 32 - UdpGroup::line_bits),
      BPF_STMT(BPF_LDX | BPF_MEM, 0),
      BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
      BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, shard_count),
      BPF_STMT(BPF_RET | BPF_A, 0),
      // index_early
      BPF_STMT(load_word, noise::DataLayout::receiver_index),
      BPF_STMT(BPF_JMP | BPF_JA, 1),
      // index_late
      BPF_STMT(load_word, noise::ResponseLayout::receiver_index),
      // As IndexMark computes it.
      BPF_STMT(BPF_MISC | BPF_TAX, 0),
      BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, byte),
      BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, mark.factor()),
      BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, mark.addend()),
      BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 32 - byte),
      BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff),
      BPF_JUMP(equal, 0, 0, from(43, junk)),
      // The shard.
      BPF_STMT(BPF_MISC | BPF_TXA, 0),
      BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 32 - byte),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, shard_count - 1),
      BPF_STMT(BPF_RET | BPF_A, 0),
      // junk
      BPF_STMT(BPF_RET | BPF_K, shard_count + 2 * UdpGroup::line_count),
  }};
  // clang-format on
}

Status attach(int fd, Program program) noexcept {
  const sock_fprog code{.len = std::size(program), .filter = program.data()};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &code, sizeof code) != 0) {
    return fail(errno, "setsockopt(SO_ATTACH_REUSEPORT_CBPF): --shards needs Linux 4.5");
  }
  return {};
}

}  // namespace

Status UdpGroup::steer() const noexcept {
  for (const auto& [fd, family] : {std::pair{of(0).v4(), noise::Family::v4},  //
                                   std::pair{of(0).v6(), noise::Family::v6}}) {
    const Result<SourceHash> hash = draw_source_hash(family);
    if (!hash) {
      return std::unexpected(hash.error());
    }
    const auto shards = static_cast<std::uint32_t>(shard_count_);
    const Status attached = fd < 0 ? Status{} : attach(fd, steering(shards, mark_, *hash));
    if (!attached) {
      return attached;
    }
  }
  return {};
}

int UdpGroup::next_buffer_bytes() const noexcept {
  // A hundred initiations: there are many such, and an answer that comes late is none.
  constexpr int line_bytes = 64 * 1024;
  constexpr int junk_bytes = 1024 * 1024;
  const std::size_t next = pairs_.size();
  return next < shard_count_                    ? UdpPair::usual_buffer_bytes
         : next < shard_count_ + door_count - 1 ? line_bytes
                                                : junk_bytes;
}

// On an error the pairs that there are by then stay.
Status UdpGroup::grow(std::size_t count) {
  // Only now: had it been shared from the start, another program's port might be ours as well.
  if (const Status shared = pairs_.front().share(); !shared) {
    return shared;
  }
  while (pairs_.size() < count) {
    Result<UdpPair> pair = UdpPair::join(pairs_.front(), fwmark(), runs_, next_buffer_bytes());
    if (!pair) {
      return std::unexpected(pair.error());
    }
    pairs_.push_back(std::move(*pair));
    // As soon as there are two of which the kernel might choose the wrong one. A number beyond
    // those that there are is none, and the kernel takes any.
    if (pairs_.size() == std::max<std::size_t>(shard_count_, 2)) {
      if (const Status steered = steer(); !steered) {
        return steered;
      }
    }
  }
  return {};
}

Result<UdpGroup> UdpGroup::open_shards(std::uint32_t shard_bits, noise::IndexMark mark,
                                       std::uint16_t port, std::uint32_t fwmark, ReceiveRuns runs) {
  UdpGroup group(mark, runs, fwmark);
  group.shard_count_ = std::size_t{1} << shard_bits;
  group.pairs_.reserve(group.shard_count_ + door_count);
  Result<UdpPair> first = UdpPair::open(port, fwmark, runs);
  if (!first) {
    return std::unexpected(first.error());
  }
  group.pairs_.push_back(std::move(*first));
  if (group.shard_count_ > 1) {
    if (const Status grown = group.grow(group.shard_count_); !grown) {
      return std::unexpected(grown.error());
    }
  }
  return group;
}

Status UdpGroup::open_door() {
  const Status grown = grow(shard_count_ + door_count);
  if (grown) {
    return grown;
  }
  pairs_.resize(shard_count_);
  no_door_ = grown.error();
  return is_missing(no_door_.errno_value) ? Status{} : grown;
}

Result<UdpGroup> UdpGroup::open(std::uint32_t shard_bits, noise::IndexMark mark, std::uint16_t port,
                                std::uint32_t fwmark, ReceiveRuns runs) {
  Result<UdpGroup> group = open_shards(shard_bits, mark, port, fwmark, runs);
  if (group) {
    if (const Status opened = group->open_door(); !opened) {
      return std::unexpected(opened.error());
    }
  }
  return group;
}

bool UdpGroup::has_fwmark(std::uint32_t fwmark) const noexcept {
  return fwmark_ == fwmark && std::ranges::all_of(pairs_, [fwmark](const UdpPair& pair) {
           return pair.has_fwmark(fwmark);
         });
}

Status UdpGroup::set_fwmark(std::uint32_t fwmark) noexcept {
  for (UdpPair& pair : pairs_) {
    if (const Status status = pair.set_fwmark(fwmark); !status) {
      return take_back_fwmark(status.error());
    }
  }
  fwmark_ = fwmark;
  return {};
}

// Each that has another is tried: as few as can be are left with it.
Status UdpGroup::take_back_fwmark(const Error& why) noexcept {
  for (UdpPair& pair : pairs_) {
    if (!pair.has_fwmark(fwmark_)) {
      [[maybe_unused]] const Status tried = pair.set_fwmark(fwmark_);  // allowed a moment ago
    }
  }
  return has_fwmark(fwmark_) ? std::unexpected(why)
                             : fail(why.errno_value, "setsockopt(SO_MARK): half done");
}

}  // namespace wgring::tun

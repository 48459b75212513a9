#include "tun/udp_group.hpp"

#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include "noise/messages.hpp"

namespace wgring::tun {
namespace {

constexpr auto number_of(noise::MessageType type) noexcept {
  return static_cast<std::uint32_t>(type);
}

// The answer is a number of a socket in the group, in the order they were bound: those of the door
// are the last.
Status attach(int fd, std::uint32_t shard_count, noise::IndexMark mark) noexcept {
  constexpr std::uint16_t load_byte = BPF_LD | BPF_B | BPF_ABS;
  constexpr std::uint16_t load_word = BPF_LD | BPF_W | BPF_ABS;  // big-endian
  constexpr std::uint16_t equal = BPF_JMP | BPF_JEQ | BPF_K;
  constexpr std::uint16_t at_least = BPF_JMP | BPF_JGE | BPF_K;
  constexpr unsigned byte = 8;
  static_assert(noise::IndexMark::bits == byte);
  // How far it is from this line.
  constexpr auto to_unmarked = [](std::uint8_t line) { return std::uint8_t(21 - line - 1); };
  constexpr auto to_door = [](std::uint8_t line) { return std::uint8_t(22 - line - 1); };
  // Receiver indices are little-endian: the shard is in the first byte, the mark is the last.
  // clang-format off
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
      BPF_JUMP(at_least, noise::DataLayout::size_min, 0, to_door(1)),
      BPF_STMT(load_byte, 0),
      BPF_JUMP(equal, number_of(noise::MessageType::data), 2, 0),
      BPF_JUMP(equal, number_of(noise::MessageType::cookie_reply), 1, 0),
      BPF_JUMP(equal, number_of(noise::MessageType::response), 2, to_door(5)),
      BPF_STMT(load_word, noise::DataLayout::receiver_index),
      BPF_STMT(BPF_JMP | BPF_JA, 1),
      BPF_STMT(load_word, noise::ResponseLayout::receiver_index),
      // As IndexMark computes it.
      BPF_STMT(BPF_MISC | BPF_TAX, 0),
      BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, byte),
      BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, mark.factor()),
      BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, mark.addend()),
      BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 32 - byte),
      BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff),
      BPF_JUMP(equal, 0, 0, to_unmarked(16)),
      // The shard.
      BPF_STMT(BPF_MISC | BPF_TXA, 0),
      BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 32 - byte),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, shard_count - 1),
      BPF_STMT(BPF_RET | BPF_A, 0),
      BPF_STMT(BPF_RET | BPF_K, shard_count + 1),  // unmarked
      BPF_STMT(BPF_RET | BPF_K, shard_count),      // the door
  };
  // clang-format on
  static_assert(noise::DataLayout::receiver_index == noise::CookieReplyLayout::receiver_index);
  const sock_fprog code{.len = std::size(program), .filter = program};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &code, sizeof code) != 0) {
    return fail(errno, "setsockopt(SO_ATTACH_REUSEPORT_CBPF): --shards needs Linux 4.5");
  }
  return {};
}

}  // namespace

Status UdpGroup::steer(noise::IndexMark mark) const noexcept {
  for (const int fd : {of(0).v4(), of(0).v6()}) {
    const Status attached =
        fd < 0 ? Status{} : attach(fd, static_cast<std::uint32_t>(shard_count_), mark);
    if (!attached) {
      return attached;
    }
  }
  return {};
}

// On an error the pairs that there are by then stay.
Status UdpGroup::grow(noise::IndexMark mark, std::uint32_t fwmark, ReceiveRuns runs) {
  // Only now: had it been shared from the start, another program's port might be ours as well.
  if (const Status shared = pairs_.front().share(); !shared) {
    return shared;
  }
  while (pairs_.size() < shard_count_ + 2) {
    Result<UdpPair> pair = pairs_.size() < shard_count_
                               ? UdpPair::join(pairs_.front(), fwmark, runs)
                               : UdpPair::join_as_door(pairs_.front(), fwmark, runs);
    if (!pair) {
      return std::unexpected(pair.error());
    }
    pairs_.push_back(std::move(*pair));
  }
  return steer(mark);
}

Result<UdpGroup> UdpGroup::open(std::uint32_t shard_bits, noise::IndexMark mark, std::uint16_t port,
                                std::uint32_t fwmark, ReceiveRuns runs) {
  UdpGroup group;
  group.shard_count_ = std::size_t{1} << shard_bits;
  group.pairs_.reserve(group.shard_count_ + 2);
  Result<UdpPair> first = UdpPair::open(port, fwmark, runs);
  if (!first) {
    return std::unexpected(first.error());
  }
  group.pairs_.push_back(std::move(*first));
  if (const Status grown = group.grow(mark, fwmark, runs); !grown) {
    if (group.shard_count_ > 1) {
      return std::unexpected(grown.error());
    }
    group.pairs_.resize(1);
  }
  return group;
}

Status UdpGroup::set_fwmark(std::uint32_t fwmark) noexcept {
  const std::uint32_t before = this->fwmark();
  for (std::size_t i = 0; i < pairs_.size(); ++i) {
    if (Status status = pairs_[i].set_fwmark(fwmark); !status) {
      for (std::size_t done = 0; done < i; ++done) {
        if (!pairs_[done].set_fwmark(before)) {  // what was allowed a moment ago
          return fail(status.error().errno_value, "setsockopt(SO_MARK): half done");
        }
      }
      return status;
    }
  }
  return {};
}

}  // namespace wgring::tun

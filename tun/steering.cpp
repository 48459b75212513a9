#include "tun/steering.hpp"

#include <array>
#include <cstddef>

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.hpp"

namespace wgring::tun {
namespace {

// Both families are in one map: the version of the packet is the first byte of what is compared.
//
//   bits 32 | version 8 | address 32 or 128, network order
struct Key {
  std::uint32_t bits = 0;
  std::array<std::uint8_t, 17> compared{};
};
constexpr std::uint32_t key_bytes = 21;  // without the padding
static_assert(offsetof(Key, compared) == 4);
constexpr std::uint8_t version_bits = 8;

long bpf(int command, bpf_attr& attributes) noexcept {
  return ::syscall(SYS_bpf, command, &attributes, sizeof attributes);
}

// Whole: the kernel refuses what is not zero behind the fields of a command, and {} is for the
// first member of a union only.
bpf_attr no_attributes() noexcept {
  bpf_attr attributes;  // NOLINT: filled below
  fill_zero({reinterpret_cast<std::uint8_t*>(&attributes), sizeof attributes});
  return attributes;
}

Result<Fd> create_map() noexcept {
  bpf_attr attributes = no_attributes();
  attributes.map_type = BPF_MAP_TYPE_LPM_TRIE;
  attributes.key_size = key_bytes;
  attributes.value_size = sizeof(std::uint32_t);
  attributes.max_entries = Steering::prefixes_max;
  attributes.map_flags = BPF_F_NO_PREALLOC;
  Fd map{static_cast<int>(bpf(BPF_MAP_CREATE, attributes))};
  if (!map) {
    return fail(errno, errno == EPERM ? "bpf(BPF_MAP_CREATE): needs CAP_BPF or CAP_SYS_ADMIN, and "
                                        "before Linux 5.11 room in RLIMIT_MEMLOCK"
                                      : "bpf(BPF_MAP_CREATE)");
  }
  return map;
}

// --- the program ---

// Registers: 0 results, 1 to 5 arguments, 6 the packet, 10 the end of the stack.
constexpr bpf_insn operation(unsigned code, std::uint8_t to, std::uint8_t from, std::int16_t offset,
                             std::int32_t value) noexcept {
  bpf_insn made{};
  made.code = static_cast<std::uint8_t>(code);
  made.dst_reg = to & 0xfU;
  made.src_reg = from & 0xfU;
  made.off = offset;
  made.imm = value;
  return made;
}
constexpr bpf_insn copy(std::uint8_t to, std::uint8_t from) noexcept {
  return operation(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}
constexpr bpf_insn set_to(std::uint8_t to, std::int32_t value) noexcept {
  return operation(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
}
constexpr bpf_insn add(std::uint8_t to, std::int32_t value) noexcept {
  return operation(BPF_ALU64 | BPF_ADD | BPF_K, to, 0, 0, value);
}
constexpr bpf_insn store(unsigned size, std::int16_t at, std::int32_t value) noexcept {
  return operation(BPF_ST | BPF_MEM | size, BPF_REG_10, 0, at, value);
}
constexpr bpf_insn jump(std::int16_t skipped) noexcept {
  return operation(BPF_JMP | BPF_JA, 0, 0, skipped, 0);
}
constexpr bpf_insn jump_if(unsigned condition, std::uint8_t left, std::int32_t right,
                           std::int16_t skipped) noexcept {
  return operation(BPF_JMP | condition | BPF_K, left, 0, skipped, right);
}
constexpr bpf_insn call(std::int32_t function) noexcept {
  return operation(BPF_JMP | BPF_CALL, 0, 0, 0, function);
}
constexpr bpf_insn leave() noexcept { return operation(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }

constexpr std::int16_t key_at = -24;  // on the stack, with its padding
constexpr std::int16_t version_at = key_at + 4;
constexpr std::int16_t address_at = version_at + 1;
constexpr std::int32_t v4_destination = 16;
constexpr std::int32_t v6_destination = 24;

// Places in the program that are jumped to, and how far it is from another one.
constexpr std::int16_t v4 = 19;
constexpr std::int16_t look_up = 22;
constexpr std::int16_t nowhere = 35;
constexpr std::int16_t way(std::int16_t from, std::int16_t to) noexcept {
  return static_cast<std::int16_t>(to - from - 1);
}

// The answer is the number of a queue.
constexpr std::array<bpf_insn, 37> program(int map) noexcept {
  return {
      copy(BPF_REG_6, BPF_REG_1),
      store(BPF_DW, key_at, 0),
      store(BPF_DW, key_at + 8, 0),
      store(BPF_DW, key_at + 16, 0),
      // The version.
      set_to(BPF_REG_2, 0),
      copy(BPF_REG_3, BPF_REG_10),
      add(BPF_REG_3, version_at),
      set_to(BPF_REG_4, 1),
      call(BPF_FUNC_skb_load_bytes),
      jump_if(BPF_JNE, BPF_REG_0, 0, way(9, nowhere)),
      operation(BPF_LDX | BPF_MEM | BPF_B, BPF_REG_7, BPF_REG_10, version_at, 0),
      operation(BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_7, 0, 0, 4),
      operation(BPF_STX | BPF_MEM | BPF_B, BPF_REG_10, BPF_REG_7, version_at, 0),
      jump_if(BPF_JEQ, BPF_REG_7, 4, way(13, v4)),
      jump_if(BPF_JNE, BPF_REG_7, 6, way(14, nowhere)),
      // Where the destination is, and how long.
      store(BPF_W, key_at, version_bits + 128),
      set_to(BPF_REG_2, v6_destination),
      set_to(BPF_REG_4, 16),
      jump(way(18, look_up)),
      store(BPF_W, key_at, version_bits + 32),  // v4
      set_to(BPF_REG_2, v4_destination),
      set_to(BPF_REG_4, 4),
      copy(BPF_REG_1, BPF_REG_6),  // look_up
      copy(BPF_REG_3, BPF_REG_10),
      add(BPF_REG_3, address_at),
      call(BPF_FUNC_skb_load_bytes),
      jump_if(BPF_JNE, BPF_REG_0, 0, way(26, nowhere)),
      // The map answers with the place of the shard's number.
      operation(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map),
      operation(0, 0, 0, 0, 0),  // the upper half of that
      copy(BPF_REG_2, BPF_REG_10),
      add(BPF_REG_2, key_at),
      call(BPF_FUNC_map_lookup_elem),
      jump_if(BPF_JEQ, BPF_REG_0, 0, way(32, nowhere)),
      operation(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_0, BPF_REG_0, 0, 0),
      leave(),
      set_to(BPF_REG_0, 0),  // nowhere
      leave(),
  };
}

Result<Fd> load_program(int map) noexcept {
  const auto code = program(map);
  bpf_attr attributes = no_attributes();
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insn_cnt = static_cast<std::uint32_t>(code.size());
  attributes.insns = reinterpret_cast<std::uint64_t>(code.data());
  attributes.license = reinterpret_cast<std::uint64_t>("Apache-2.0");
  Fd loaded{static_cast<int>(bpf(BPF_PROG_LOAD, attributes))};
  if (!loaded) {
    return fail(errno, "bpf(BPF_PROG_LOAD)");
  }
  return loaded;
}

Key key_of(const noise::Prefix& prefix) noexcept {
  Key key{.bits = std::uint32_t{version_bits} + prefix.cidr};
  key.compared[0] = static_cast<std::uint8_t>(prefix.address.family);
  const Bytes address = prefix.address.significant();
  copy_bytes(MutableBytes{key.compared}.subspan(1, address.size()), address);
  return key;
}

bool put(int map, const Key& key, std::uint32_t shard) noexcept {
  bpf_attr attributes = no_attributes();
  attributes.map_fd = static_cast<std::uint32_t>(map);
  attributes.key = reinterpret_cast<std::uint64_t>(&key);
  attributes.value = reinterpret_cast<std::uint64_t>(&shard);
  attributes.flags = BPF_ANY;
  return bpf(BPF_MAP_UPDATE_ELEM, attributes) == 0;
}

bool take(int map, const Key& key) noexcept {
  bpf_attr attributes = no_attributes();
  attributes.map_fd = static_cast<std::uint32_t>(map);
  attributes.key = reinterpret_cast<std::uint64_t>(&key);
  return bpf(BPF_MAP_DELETE_ELEM, attributes) == 0;
}

void take_program_away(int tun_fd) noexcept {
  int none = -1;
  static_cast<void>(::ioctl(tun_fd, TUNSETSTEERINGEBPF, &none));
}

}  // namespace

Steering::~Steering() {
  if (is_open()) {
    close();
  }
}

// The TUN may be persistent: whoever opens it next has queues of his own.
void Steering::close() noexcept {
  take_program_away(tun_fd_);
  tun_fd_ = -1;
  map_ = Fd{};
}

Status Steering::open(int tun_fd) noexcept {
  WG_ASSERT(!is_open());
  take_program_away(tun_fd);  // of an owner that was killed
  Result<Fd> map = create_map();
  if (!map) {
    return std::unexpected(map.error());
  }
  Result<Fd> loaded = load_program(map->get());
  if (!loaded) {
    return std::unexpected(loaded.error());
  }
  int number = loaded->get();  // the TUN keeps the program, and the program the map
  if (::ioctl(tun_fd, TUNSETSTEERINGEBPF, &number) != 0) {
    return fail(errno, errno == EINVAL ? "ioctl(TUNSETSTEERINGEBPF): needs Linux 4.16"
                                       : "ioctl(TUNSETSTEERINGEBPF)");
  }
  map_ = std::move(*map);
  tun_fd_ = tun_fd;
  return {};
}

// A key of no IP version: no packet is ever looked up by it.
Status Steering::prove() noexcept {
  WG_ASSERT(is_open());
  const Key key{.bits = version_bits};
  if (!put(map_.get(), key, 0) || !take(map_.get(), key)) {
    const int error = errno;
    close();
    return fail(error,
                "bpf(BPF_MAP_UPDATE_ELEM): needs CAP_BPF, which is not there (before 5.8), "
                "or kernel.unprivileged_bpf_disabled=0");
  }
  return {};
}

noise::PrefixWatch Steering::watch() noexcept {
  if (!is_open()) {
    return {};
  }
  return {
      .context = this,
      .set = [](void* self, const noise::Prefix& prefix,
                std::uint32_t shard) noexcept { static_cast<Steering*>(self)->set(prefix, shard); },
      .clear =
          [](void* self, const noise::Prefix& prefix) noexcept {
            static_cast<Steering*>(self)->clear(prefix);
          }};
}

void Steering::set(const noise::Prefix& prefix, std::uint32_t shard) noexcept {
  if (!put(map_.get(), key_of(prefix), shard)) {
    refused_.fetch_add(1, std::memory_order_relaxed);
  }
}

// One that was refused when it was set is not there.
void Steering::clear(const noise::Prefix& prefix) noexcept {
  if (!take(map_.get(), key_of(prefix)) && errno != ENOENT) {
    refused_.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace wgring::tun

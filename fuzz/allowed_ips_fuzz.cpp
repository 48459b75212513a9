// Operations on AllowedIps against a list that is searched from end to end.
//
//   records: | what: add, remove, remove all, find; bit 7: v6 | peer | address, 3 bytes | length |
#include <algorithm>
#include <vector>

#include "fuzz/input.hpp"
#include "noise/allowed_ips.hpp"
#include "tests/support/memory.hpp"

namespace {

using wgring::ByteArray;
using wgring::fuzz::Input;
using wgring::noise::AllowedIps;
using wgring::noise::Family;
using wgring::noise::IpAddress;
using wgring::noise::no_peer;
using wgring::noise::PeerId;
using wgring::noise::Prefix;

constexpr std::uint32_t prefixes_max = 256;
constexpr PeerId peers = 4;

bool covers(const Prefix& prefix, const IpAddress& address) {
  if (prefix.address.family != address.family) {
    return false;
  }
  for (std::size_t bit = 0; bit < prefix.cidr; ++bit) {
    if (((prefix.address.bytes[bit / 8] ^ address.bytes[bit / 8]) >> (7 - bit % 8) & 1) != 0) {
      return false;
    }
  }
  return true;
}

bool same(const Prefix& one, const Prefix& other) {
  return one.cidr == other.cidr && covers(one, other.address);
}

struct Owned {
  Prefix prefix;
  PeerId peer;
};

class Pair {
 public:
  Pair() { WG_ASSERT(table_.open(memory_.source(), prefixes_max, peers)); }

  void add(const Prefix& prefix, PeerId peer) {
    std::erase_if(list_, [&](const Owned& owned) { return same(owned.prefix, prefix); });
    if (list_.size() < prefixes_max) {
      WG_ASSERT(table_.insert(prefix, peer));
      list_.push_back({prefix, peer});
    } else {
      list_.clear();
      remove_all();
    }
  }
  void remove(const Prefix& prefix, PeerId peer) {
    const auto gone = std::erase_if(list_, [&](const Owned& owned) {
      return owned.peer == peer && same(owned.prefix, prefix);
    });
    WG_ASSERT(table_.remove(prefix, peer) == (gone != 0));
  }
  // In order of insertion.
  void remove_peer(PeerId peer) {
    for (const Owned& owned : list_) {
      if (owned.peer == peer) {
        const auto removed = table_.remove_oldest(peer);
        WG_ASSERT(removed && same(*removed, owned.prefix));
      }
    }
    WG_ASSERT(!table_.remove_oldest(peer));
    std::erase_if(list_, [&](const Owned& owned) { return owned.peer == peer; });
  }
  void find(const IpAddress& address) const {
    const Owned* best = nullptr;
    for (const Owned& owned : list_) {
      if (covers(owned.prefix, address) &&
          (best == nullptr || owned.prefix.cidr > best->prefix.cidr)) {
        best = &owned;
      }
    }
    const PeerId found = address.family == Family::v4 ? table_.find_v4(address.bytes.data())
                                                      : table_.find_v6(address.bytes.data());
    WG_ASSERT(found == (best == nullptr ? no_peer : best->peer));
  }
  void remove_all() {
    for (PeerId peer = 0; peer < peers; ++peer) {
      while (table_.remove_oldest(peer)) {
      }
    }
    WG_ASSERT(table_.empty() && table_.nodes_used() == 0);
  }

 private:
  wgring::test::TestMemory memory_;
  AllowedIps table_;
  std::vector<Owned> list_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Pair pair;
  for (Input input(data, size); !input.empty();) {
    const std::uint8_t what = input.byte();
    const PeerId peer = input.byte() % peers;
    const bool v4 = what < 128;
    Prefix prefix{.address = {.family = v4 ? Family::v4 : Family::v6, .bytes = {}}};
    // The first byte, one in the middle and the last: near the root and at the leaves.
    prefix.address.bytes[0] = input.byte();
    prefix.address.bytes[v4 ? 1 : 8] = input.byte();
    prefix.address.bytes[v4 ? 3 : 15] = input.byte();
    prefix.cidr = static_cast<std::uint8_t>(input.byte() % (v4 ? 33 : 129));
    switch (what % 8) {
      case 0:
        pair.remove(prefix, peer);
        break;
      case 1:
        pair.remove_peer(peer);
        break;
      case 2:
      case 3:
        pair.find(prefix.address);
        break;
      default:
        pair.add(prefix, peer);
        pair.find(prefix.address);
    }
  }
  pair.remove_all();
  return 0;
}

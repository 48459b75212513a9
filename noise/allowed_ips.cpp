#include "noise/allowed_ips.hpp"

#include <algorithm>
#include <bit>

namespace wgring::noise {
namespace {

constexpr unsigned v4_bits = 32;
constexpr unsigned v6_bits = 128;

[[nodiscard]] constexpr std::size_t node_limit(std::uint32_t prefixes) noexcept {
  return 2 * std::size_t{prefixes} + 1;  // id 0 is nobody's
}

}  // namespace

// --- the steps of a look-up: inline, since there are some ten of each ---
// How many leading bits agree; 128 when all do.
inline unsigned AllowedIps::common_bits(Key a, Key b) noexcept {
  const std::uint64_t high = a.high ^ b.high;
  if (high != 0) {
    return static_cast<unsigned>(std::countl_zero(high));
  }
  return 64U + static_cast<unsigned>(std::countl_zero(a.low ^ b.low));
}

// `position` counts from the most significant bit; below 128.
inline unsigned AllowedIps::bit_at(Key key, unsigned position) noexcept {
  const std::uint64_t word = position < 64 ? key.high : key.low;
  return static_cast<unsigned>(word >> (63U - position % 64U)) & 1U;
}

// Regions are raw memory; all-zero bytes are valid objects of ours.
inline AllowedIps::Node& AllowedIps::node(NodeId id) const noexcept {
  return reinterpret_cast<Node*>(nodes_.data())[id];
}
inline AllowedIps::PeerList& AllowedIps::list(PeerId peer) const noexcept {
  return reinterpret_cast<PeerList*>(lists_.data())[peer];
}

bool AllowedIps::open(const MemorySource& source, std::uint32_t prefixes_max,
                      std::uint32_t peers_max) noexcept {
  WG_ASSERT(prefixes_max < (std::uint32_t{1} << 30) && peers_max < no_peer);
  prefixes_max_ = prefixes_max;
  peers_max_ = peers_max;
  return nodes_.reserve(source, sizeof(Node) * node_limit(prefixes_max)) &&
         lists_.reserve(source, sizeof(PeerList) * std::size_t{peers_max});
}

bool AllowedIps::ensure(std::uint32_t more_prefixes, PeerId highest_peer) noexcept {
  if (highest_peer >= peers_max_ || more_prefixes > prefixes_max_ - prefixes_) {
    return false;
  }
  const std::uint32_t needed = 2 * more_prefixes;
  const std::uint32_t fresh = needed > free_count_ ? needed - free_count_ : 0;
  // Never more than the limit, since n prefixes use less than 2n nodes at any time.
  return ensure_memory(std::min(std::size_t{nodes_high_} + fresh, node_limit(prefixes_max_)),
                       highest_peer);
}

bool AllowedIps::ensure_total(std::uint32_t prefixes, PeerId highest_peer) noexcept {
  if (highest_peer >= peers_max_ || prefixes > prefixes_max_) {
    return false;
  }
  // Every node that is in use now will be free.
  return ensure_memory(node_limit(prefixes), highest_peer);
}

bool AllowedIps::ensure_memory(std::size_t node_count, PeerId highest_peer) noexcept {
  const std::uint32_t peers = std::max(peers_, highest_peer + 1);
  if (!nodes_.ensure(sizeof(Node) * node_count) ||
      !lists_.ensure(sizeof(PeerList) * std::size_t{peers})) {
    return false;
  }
  peers_ = peers;
  return true;
}

bool AllowedIps::insert(const Prefix& prefix, PeerId peer) noexcept {
  const unsigned cidr = prefix.cidr;
  const Key key = masked(key_of(prefix), cidr);
  const Place place = descend(prefix.address.family, key, cidr);
  if (place.parent != none && node(place.parent).cidr == cidr) {
    if (!ensure(0, peer)) {
      return false;
    }
    if (node(place.parent).peer != no_peer) {
      disown(place.parent);
    }
    own(place.parent, peer);
    return true;
  }
  if (!ensure(1, peer)) {
    return false;
  }
  const NodeId fresh = make_node(prefix.address.family, key, cidr);
  attach(place, fresh);
  own(fresh, peer);
  return true;
}

bool AllowedIps::remove(const Prefix& prefix, PeerId peer) noexcept {
  const Key key = masked(key_of(prefix), prefix.cidr);
  const NodeId id = descend(prefix.address.family, key, prefix.cidr).parent;
  if (peer == no_peer || id == none || node(id).cidr != prefix.cidr || node(id).peer != peer) {
    return false;
  }
  disown(id);
  prune(id);
  return true;
}

std::optional<Prefix> AllowedIps::remove_oldest(PeerId peer) noexcept {
  if (peer >= peers_ || list(peer).oldest == none) {
    return std::nullopt;
  }
  const NodeId id = list(peer).oldest;
  const Prefix removed = prefix_of(id);
  disown(id);
  prune(id);
  return removed;
}

void AllowedIps::begin_replacing(PeerId peer) noexcept {
  if (peer < peers_) {
    list(peer).generation += 1;
  }
}

std::optional<Prefix> AllowedIps::remove_replaced(PeerId peer) noexcept {
  const bool any = peer < peers_ && list(peer).oldest != none &&
                   node(list(peer).oldest).generation != list(peer).generation;
  return any ? remove_oldest(peer) : std::nullopt;
}

PeerId AllowedIps::find_v4(const std::uint8_t* address) const noexcept {
  return find<v4_bits>(roots_[0], {.high = std::uint64_t{load_be32(address)} << 32U, .low = 0});
}

PeerId AllowedIps::find_v6(const std::uint8_t* address) const noexcept {
  return find<v6_bits>(roots_[1], {.high = load_be64(address), .low = load_be64(address + 8)});
}

std::uint32_t AllowedIps::prefix_count(PeerId peer) const noexcept {
  return peer < peers_ ? list(peer).count : 0;
}

std::size_t AllowedIps::prefixes_of(PeerId peer, std::span<Prefix> out) const noexcept {
  if (peer >= peers_) {
    return 0;
  }
  std::size_t written = 0;
  for (NodeId id = list(peer).oldest; id != none && written < out.size(); id = node(id).newer) {
    out[written++] = prefix_of(id);
  }
  return written;
}

Prefix AllowedIps::prefix_of(NodeId id) const noexcept {
  const Node& from = node(id);
  Prefix prefix{.address = {.family = from.family}, .cidr = from.cidr};
  if (from.family == Family::v4) {
    store_be32(prefix.address.bytes.data(), static_cast<std::uint32_t>(from.key.high >> 32U));
  } else {
    store_be64(prefix.address.bytes.data(), from.key.high);
    store_be64(prefix.address.bytes.data() + 8, from.key.low);
  }
  return prefix;
}

AllowedIps::Key AllowedIps::key_of(const Prefix& prefix) noexcept {
  const IpAddress& address = prefix.address;
  if (address.family == Family::v4) {
    WG_ASSERT(prefix.cidr <= v4_bits);
    return {.high = std::uint64_t{load_be32(address.bytes.data())} << 32U, .low = 0};
  }
  WG_ASSERT(address.family == Family::v6);
  WG_ASSERT(prefix.cidr <= v6_bits);
  return {.high = load_be64(address.bytes.data()), .low = load_be64(address.bytes.data() + 8)};
}

AllowedIps::Key AllowedIps::masked(Key key, unsigned cidr) noexcept {
  constexpr std::uint64_t all = ~std::uint64_t{0};
  const auto ones = [](unsigned bits) { return bits == 0 ? 0 : all << (64 - bits); };
  return {.high = key.high & ones(std::min(cidr, 64U)),
          .low = key.low & ones(cidr > 64 ? cidr - 64 : 0)};
}

template <unsigned AddressBits>
PeerId AllowedIps::find(NodeId root, Key key) const noexcept {
  PeerId found = no_peer;
  for (NodeId id = root; id != none;) {
    const Node& at = node(id);
    if (common_bits(at.key, key) < at.cidr) {
      break;
    }
    if (at.peer != no_peer) {
      found = at.peer;
    }
    if (at.cidr == AddressBits) {
      break;
    }
    id = at.child[bit_at(key, at.cidr)];
  }
  return found;
}

AllowedIps::NodeId& AllowedIps::root(Family family) noexcept {
  return roots_[family == Family::v4 ? 0 : 1];
}

// The deepest node that covers key/cidr (the prefix itself, if it is there) as `parent`, and the
// link below it on the way to the key.
AllowedIps::Place AllowedIps::descend(Family family, Key key, unsigned cidr) noexcept {
  Place place{.parent = none, .link = &root(family)};
  while (*place.link != none) {
    Node& next = node(*place.link);
    if (next.cidr > cidr || common_bits(next.key, key) < next.cidr) {
      break;
    }
    place.parent = *place.link;
    if (next.cidr == cidr) {
      break;
    }
    place.link = &next.child[bit_at(key, next.cidr)];
  }
  return place;
}

// Preceded by ensure(); nodes do not move.
AllowedIps::NodeId AllowedIps::make_node(Family family, Key key, unsigned cidr) noexcept {
  NodeId id = free_head_;
  if (id != none) {
    free_head_ = node(id).newer;
    free_count_ -= 1;
  } else {
    id = nodes_high_++;
    WG_ASSERT(sizeof(Node) * std::size_t{nodes_high_} <= nodes_.committed_bytes());
  }
  nodes_used_ += 1;
  node(id) = {.key = key,
              .child = {none, none},
              .parent = none,
              .peer = no_peer,
              .older = none,
              .newer = none,
              .family = family,
              .cidr = static_cast<std::uint8_t>(cidr),
              .generation = 0};
  return id;
}

void AllowedIps::free_node(NodeId id) noexcept {
  node(id).newer = free_head_;
  free_head_ = id;
  free_count_ += 1;
  nodes_used_ -= 1;
}

// Hangs `fresh` at `place`: as a leaf, above the node that is there, or beside it under a new
// node without a peer.
void AllowedIps::attach(const Place& place, NodeId fresh) noexcept {
  const NodeId former = *place.link;
  const Node& added = node(fresh);
  NodeId top = fresh;
  if (former != none) {
    const unsigned shared = common_bits(node(former).key, added.key);
    if (shared >= added.cidr) {
      adopt(fresh, former);
    } else {
      top = make_node(added.family, masked(added.key, shared), shared);
      adopt(top, former);
      adopt(top, fresh);
    }
  }
  node(top).parent = place.parent;
  *place.link = top;
}

void AllowedIps::adopt(NodeId parent, NodeId child) noexcept {
  node(parent).child[bit_at(node(child).key, node(parent).cidr)] = child;
  node(child).parent = parent;
}

void AllowedIps::own(NodeId id, PeerId peer) noexcept {
  PeerList& owner = list(peer);
  node(id).peer = peer;
  node(id).generation = owner.generation;
  node(id).older = owner.newest;
  node(id).newer = none;
  (owner.newest == none ? owner.oldest : node(owner.newest).newer) = id;
  owner.newest = id;
  owner.count += 1;
  prefixes_ += 1;
}

void AllowedIps::disown(NodeId id) noexcept {
  Node& lost = node(id);
  PeerList& owner = list(lost.peer);
  (lost.older == none ? owner.oldest : node(lost.older).newer) = lost.newer;
  (lost.newer == none ? owner.newest : node(lost.newer).older) = lost.older;
  owner.count -= 1;
  prefixes_ -= 1;
  lost.peer = no_peer;
}

// Takes out a node without a peer unless it parts two branches; then its parent, if that was
// such a parting and now has one branch.
void AllowedIps::prune(NodeId id) noexcept {
  while (id != none && node(id).peer == no_peer) {
    const Node& gone = node(id);
    if (gone.child[0] != none && gone.child[1] != none) {
      return;
    }
    const NodeId child = gone.child[0] != none ? gone.child[0] : gone.child[1];
    const NodeId parent = gone.parent;
    if (child != none) {
      node(child).parent = parent;
    }
    if (parent == none) {
      root(gone.family) = child;
    } else {
      node(parent).child[bit_at(gone.key, node(parent).cidr)] = child;
    }
    free_node(id);
    id = parent;
  }
}

}  // namespace wgring::noise

// AllowedIps: which peer owns an inner address. Longest prefix wins (protocol section 20).
//
// One compressed binary trie per family, for the whole device: a node holds a prefix; a node
// without a peer has two children and only marks where two branches part.
//
//          10.0.0.0/8 (a)
//            /         \                    find(10.1.0.4): a, then the deeper b
//     10.1.0.0/16 (b)  10.128.0.0/9 -
//                        /      \           "-": no peer, so never an answer
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/region.hpp"
#include "noise/config.hpp"
#include "noise/peer_id.hpp"

namespace wgring::noise {

// Owner: one thread. A prefix belongs to exactly one peer. Growth happens in ensure() and
// insert() only; n prefixes need less than 2n nodes.
class AllowedIps {
 public:
  // Peers are numbered below `peers_max`.
  [[nodiscard]] bool open(const MemorySource& source, std::uint32_t prefixes_max,
                          std::uint32_t peers_max) noexcept;
  // After true, `more_prefixes` calls of insert() for peers up to `highest_peer` cannot fail.
  [[nodiscard]] bool ensure(std::uint32_t more_prefixes, PeerId highest_peer) noexcept;
  // The same for so many prefixes in all, once what is there now has been removed.
  [[nodiscard]] bool ensure_total(std::uint32_t prefixes, PeerId highest_peer) noexcept;

  // Masks host bits. An equal prefix moves here from its former owner. False: no room.
  [[nodiscard]] bool insert(const Prefix& prefix, PeerId peer) noexcept;
  // Only if exactly this prefix belongs to this peer: true.
  bool remove(const Prefix& prefix, PeerId peer) noexcept;
  // The first of the peer's prefixes in order of insertion; nothing: there is none.
  std::optional<Prefix> remove_oldest(PeerId peer) noexcept;
  // A peer's prefixes are replaced without a moment in which one that stays is gone: what is not
  // inserted again before the end is given by remove_replaced(), one by one, until there is none.
  void begin_replacing(PeerId peer) noexcept;
  std::optional<Prefix> remove_replaced(PeerId peer) noexcept;

  // `address`: 4 or 16 bytes in network order, at any alignment. no_peer: no prefix covers it.
  [[nodiscard]] PeerId find_v4(const std::uint8_t* address) const noexcept;
  [[nodiscard]] PeerId find_v6(const std::uint8_t* address) const noexcept;

  [[nodiscard]] std::uint32_t prefix_count(PeerId peer) const noexcept;
  // In order of insertion (a prefix inserted again counts as the latest), up to out.size().
  [[nodiscard]] std::size_t prefixes_of(PeerId peer, std::span<Prefix> out) const noexcept;
  [[nodiscard]] bool empty() const noexcept { return prefixes_ == 0; }
  [[nodiscard]] std::uint32_t nodes_used() const noexcept { return nodes_used_; }

 private:
  using NodeId = std::uint32_t;
  static constexpr NodeId none = 0;  // so that all-zero memory holds no node

  // An address as two words in host order, most significant bit first; v4 fills the upper half
  // of `high`.
  struct Key {
    std::uint64_t high;
    std::uint64_t low;
  };
  struct Node {
    Key key;
    std::array<NodeId, 2> child;
    NodeId parent;
    PeerId peer;
    NodeId older;  // neighbours in the peer's list; `newer` also links free nodes
    NodeId newer;
    Family family;
    std::uint8_t cidr;
    std::uint8_t generation;  // that of its list when it was inserted
  };
  struct PeerList {
    NodeId oldest;
    NodeId newest;
    std::uint32_t count;
    std::uint8_t generation;  // of all its nodes, but while it is replaced
  };
  // Where a node hangs: below `parent`, or at the root when that is none.
  struct Place {
    NodeId parent;
    NodeId* link;
  };

  [[nodiscard]] bool ensure_memory(std::size_t node_count, PeerId highest_peer) noexcept;
  [[nodiscard]] static Key key_of(const Prefix& prefix) noexcept;
  [[nodiscard]] static Key masked(Key key, unsigned cidr) noexcept;
  [[nodiscard]] static unsigned common_bits(Key a, Key b) noexcept;
  [[nodiscard]] static unsigned bit_at(Key key, unsigned position) noexcept;

  template <unsigned AddressBits>
  [[nodiscard]] PeerId find(NodeId root, Key key) const noexcept;
  [[nodiscard]] Node& node(NodeId id) const noexcept;
  [[nodiscard]] Prefix prefix_of(NodeId id) const noexcept;
  [[nodiscard]] PeerList& list(PeerId peer) const noexcept;
  [[nodiscard]] NodeId& root(Family family) noexcept;
  [[nodiscard]] Place descend(Family family, Key key, unsigned cidr) noexcept;
  [[nodiscard]] NodeId make_node(Family family, Key key, unsigned cidr) noexcept;
  void free_node(NodeId id) noexcept;
  void attach(const Place& place, NodeId fresh) noexcept;
  void adopt(NodeId parent, NodeId child) noexcept;
  void own(NodeId id, PeerId peer) noexcept;
  void disown(NodeId id) noexcept;
  void prune(NodeId id) noexcept;

  Region nodes_;
  Region lists_;
  std::array<NodeId, 2> roots_{};  // v4, v6
  NodeId free_head_ = none;
  std::uint32_t free_count_ = 0;
  std::uint32_t nodes_high_ = 1;  // ids from here on were never used
  std::uint32_t nodes_used_ = 0;
  std::uint32_t prefixes_ = 0;
  std::uint32_t prefixes_max_ = 0;
  std::uint32_t peers_max_ = 0;
  std::uint32_t peers_ = 0;  // lists below this are usable
};

}  // namespace wgring::noise

#include "noise/keypair.hpp"

#include <utility>

namespace wgring::noise {

KeypairId Keypairs::create(Keypair&& session) noexcept {
  const std::uint32_t local_index = session.local_index;
  const KeypairId id = slab_.take(std::move(session));
  if (id != no_keypair) {
    indices_.replace(local_index, IndexRef{.kind = IndexKind::keypair, .id = id});
  }
  return id;
}

void Keypairs::install_as_initiator(KeypairSet& set, KeypairId fresh) noexcept {
  destroy(set.previous);
  if (set.next != no_keypair) {
    // An unconfirmed session of ours as responder is newer than current: late packets of it may
    // still come, those of current are two sessions old.
    set.previous = std::exchange(set.next, no_keypair);
    destroy(set.current);
  } else {
    set.previous = set.current;
  }
  set.current = fresh;
}

void Keypairs::install_as_responder(KeypairSet& set, KeypairId fresh) noexcept {
  destroy(set.next);
  set.next = fresh;
  destroy(set.previous);
}

bool Keypairs::confirm(KeypairSet& set, KeypairId used) noexcept {
  if (used != set.next) {
    return false;
  }
  destroy(set.previous);
  set.previous = set.current;
  set.current = std::exchange(set.next, no_keypair);
  return true;
}

void Keypairs::clear(KeypairSet& set) noexcept {
  destroy(set.previous);
  destroy(set.current);
  destroy(set.next);
}

void Keypairs::destroy(KeypairId& id) noexcept {
  if (id == no_keypair) {
    return;
  }
  indices_.remove(slab_[id].local_index);
  slab_.give_back(id);  // wipes the keys
  id = no_keypair;
}

}  // namespace wgring::noise

// Device: the door. Places the Core on memory of the source; everything else is the Core's.
#include "noise/device.hpp"

#include <cerrno>
#include <new>
#include <utility>

#include "noise/core.hpp"

namespace wgring::noise {

Result<Device> Device::open(const DeviceSetup& setup) noexcept {
  const MemorySource& memory = setup.memory;
  std::uint8_t* const at = memory.reserve(memory.context, sizeof(Core));
  if (at == nullptr) {
    return fail(ENOMEM, "reserve memory for the device");
  }
  if (!memory.commit(memory.context, at, 0, sizeof(Core))) {
    memory.release(memory.context, at, sizeof(Core));
    return fail(ENOMEM, "commit memory for the device");
  }
  Device device{::new (static_cast<void*>(at)) Core(setup)};
  if (const Status opened = device.core_->open(); !opened) {
    return std::unexpected(opened.error());
  }
  return device;
}

Device::Device(Core* core) noexcept : core_(core) {}
Device::Device(Device&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
Device& Device::operator=(Device&& other) noexcept {
  Device taken(std::move(other));
  std::swap(core_, taken.core_);
  return *this;
}
Device::~Device() {
  if (core_ == nullptr) {
    return;
  }
  const MemorySource memory = core_->memory();
  core_->~Core();
  memory.release(memory.context, reinterpret_cast<std::uint8_t*>(core_), sizeof(Core));  // NOLINT
}

void Device::on_udp(std::span<Wild> batch, Now now, Outbox& outbox) noexcept {
  core_->on_udp(batch, now, outbox);
}
std::size_t Device::on_tun(std::span<const Plain> batch, Now now, Outbox& outbox) noexcept {
  return core_->on_tun(batch, now, outbox);
}
void Device::on_initiations(std::span<const HandedInitiation> batch, Now now,
                            Outbox& outbox) noexcept {
  core_->on_initiations(batch, now, outbox);
}
void Device::on_deadline(Now now, Outbox& outbox) noexcept { core_->on_deadline(now, outbox); }
Deadline Device::next_deadline() const noexcept { return core_->next_deadline(); }

Instant Device::data_until() const noexcept { return core_->data_until(); }
void Device::set_door(Instant from) noexcept { core_->set_door(from); }

void Device::set_link(bool up, Now now, Outbox& outbox) noexcept {
  core_->set_link(up, now, outbox);
}
void Device::set_mtu(std::uint32_t mtu_bytes) noexcept { core_->set_mtu(mtu_bytes); }
void Device::forget_sources() noexcept { core_->forget_sources(); }
void Device::forget_sources(const LocalSource& refused) noexcept { core_->forget_sources(refused); }
void Device::forget_source(const PeerEndpoint& seen) noexcept { core_->forget_source(seen); }

void Device::send_all_staged(Now now, Outbox& outbox) noexcept {
  core_->send_all_staged(now, outbox);
}
void Device::set_private_key(const crypto::Secret<32>& key, Now now, Outbox& outbox) noexcept {
  core_->set_private_key(key, now, outbox);
}
bool Device::reserve(std::uint32_t peers, std::uint32_t prefixes, Present present) noexcept {
  return core_->reserve(peers, prefixes, present);
}
Status Device::apply_peer(const PeerUpdate& update, Now now, Outbox& outbox) noexcept {
  return core_->apply_peer(update, now, outbox);
}
bool Device::remove_peers(std::uint32_t peers_max_now) noexcept {
  return core_->remove_peers(peers_max_now);
}

bool Device::has_identity() const noexcept { return core_->identity().present(); }
const crypto::Secret<32>& Device::private_key() const noexcept {
  return core_->identity().private_key();
}
const crypto::PublicKey& Device::public_key() const noexcept {
  return core_->identity().public_key();
}
std::uint32_t Device::peer_count() const noexcept { return core_->peers().count(); }
bool Device::next_peer(std::uint64_t after_serial, PeerStatus& status) const noexcept {
  return core_->next_peer(after_serial, status);
}
bool Device::next_endpoint(std::uint64_t after_serial, PeerEndpoint& found) const noexcept {
  return core_->next_endpoint(after_serial, found);
}
std::size_t Device::prefixes_of(std::uint64_t serial, std::span<Prefix> out) const noexcept {
  const Peer* const peer = core_->peers().by_serial(serial);
  return peer == nullptr ? 0 : core_->allowed_ips().prefixes_of(peer->id, out);
}
const DropCounters& Device::drops() const noexcept { return core_->drops(); }
std::size_t Device::handshakes_waiting() const noexcept { return core_->handshakes_waiting(); }

}  // namespace wgring::noise

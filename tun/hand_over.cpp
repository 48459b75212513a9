#include "tun/hand_over.hpp"

#include <new>

namespace wgring::tun {

// In front of each payload; payloads follow each other at multiples of its size.
struct alignas(64) HandOver::Record {
  enum class Kind : std::uint8_t { plain, initiation, stray, skip };
  Kind kind = Kind::skip;
  std::uint32_t payload_bytes = 0;
  std::uint32_t size = 0;  // of the record with all that belongs to it
  noise::VnetHeader offload{};

  [[nodiscard]] std::uint8_t* payload() noexcept {
    return reinterpret_cast<std::uint8_t*>(this + 1);
  }
};

namespace {

constexpr std::size_t align_up(std::size_t size, std::size_t to) noexcept {
  return (size + to - 1) / to * to;
}

}  // namespace

Status HandOver::open() noexcept {
  return memory_.open(bytes, "mmap: a ring between two threads; out of memory");
}

HandOver::Record& HandOver::at(std::uint64_t position) const noexcept {
  return *std::launder(reinterpret_cast<Record*>(memory_.data() + position % bytes));
}

// --- giver ---

HandOver::Record* HandOver::reserve(std::size_t payload_bytes) noexcept {
  static_assert(bytes % sizeof(Record) == 0);
  const std::size_t size = sizeof(Record) + align_up(payload_bytes, sizeof(Record));
  const std::size_t to_end = bytes - written_ % bytes;
  const std::size_t skipped = size > to_end ? to_end : 0;  // a record lies in one piece
  // Pairs with the release in release(): the taker has done with the place.
  const std::uint64_t head = head_.load(std::memory_order_acquire);
  if (size + skipped > bytes - (written_ - head)) {
    return nullptr;
  }
  if (skipped > 0) {
    ::new (memory_.data() + written_ % bytes)
        Record{.kind = Record::Kind::skip, .size = static_cast<std::uint32_t>(skipped)};
    written_ += skipped;
  }
  auto* const record =
      ::new (memory_.data() + written_ % bytes) Record{.size = static_cast<std::uint32_t>(size)};
  written_ += size;
  return record;
}

bool HandOver::push(const noise::Plain& packet) noexcept {
  Record* const record = reserve(packet.bytes + noise::plain_tailroom_bytes);
  if (record == nullptr) {
    return false;
  }
  record->kind = Record::Kind::plain;
  record->payload_bytes = packet.bytes;
  record->offload = packet.offload;
  copy_bytes({record->payload(), packet.bytes}, Bytes{packet.data, packet.bytes});
  return true;
}

bool HandOver::push(const noise::HandedInitiation& initiation) noexcept {
  static_assert(alignof(noise::HandedInitiation) <= sizeof(Record));
  Record* const record = reserve(sizeof initiation);
  if (record == nullptr) {
    return false;
  }
  record->kind = Record::Kind::initiation;
  ::new (record->payload()) noise::HandedInitiation(initiation);
  return true;
}

// The datagram lies behind its item, whose loan is that of the ring then.
bool HandOver::push(const StrayDatagram& stray) noexcept {
  Record* const record = reserve(sizeof stray + stray.datagram.size());
  if (record == nullptr) {
    return false;
  }
  record->kind = Record::Kind::stray;
  auto* const item = ::new (record->payload()) StrayDatagram(stray);
  const MutableBytes copy{record->payload() + sizeof stray, stray.datagram.size()};
  copy_bytes(copy, stray.datagram);
  item->datagram = copy;
  return true;
}

void HandOver::publish() noexcept {
  // Pairs with the load in take(): the records are there before they are counted. In one order with
  // the taker's going to sleep: see Inlet.
  tail_.store(written_, std::memory_order_seq_cst);
}

// --- taker ---

void HandOver::take(Batch& batch) noexcept {
  // Pairs with the store in publish().
  const std::uint64_t tail = tail_.load(std::memory_order_acquire);
  while (read_ != tail && batch.plains.room() > 0 && batch.initiations.room() > 0 &&
         batch.strays.room() > 0) {
    Record& record = at(read_);
    switch (record.kind) {
      case Record::Kind::plain:
        batch.plains.push_back({.data = record.payload(),
                                .bytes = record.payload_bytes,
                                .offload = record.offload,
                                .handed = true});
        break;
      case Record::Kind::initiation:
        batch.initiations.push_back(
            *std::launder(reinterpret_cast<noise::HandedInitiation*>(record.payload())));
        break;
      case Record::Kind::stray:
        batch.strays.push_back(*std::launder(reinterpret_cast<StrayDatagram*>(record.payload())));
        break;
      case Record::Kind::skip:
        break;
    }
    read_ += record.size;
  }
}

void HandOver::release() noexcept {
  // Pairs with the acquire in reserve().
  head_.store(read_, std::memory_order_release);
}

}  // namespace wgring::tun

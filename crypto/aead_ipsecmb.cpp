// ChaCha20-Poly1305 by intel-ipsec-mb's job interface: one job is one packet and is done when it
// has been submitted, so nothing is ever in flight between two calls. The burst interface costs
// the same per packet and gathers no work across packets; the direct one (init, update, finalize)
// generates the one-time key apart and loses to BoringSSL at 64 bytes.
#include "crypto/aead_ipsecmb.hpp"

#include <intel-ipsec-mb.h>

#if IMB_VERSION_NUM < 0x10300
#error "intel-ipsec-mb 1.3 is the first that says whether its own self-test passed"
#endif

namespace wgring::crypto {
namespace {

// Owner: its thread. A job slot keeps pointers to the key and the data of its last packet, never
// the bytes; the library clears what it derives from a key (see IpsecMbFacts::library_wipes).
struct alignas(64) ThreadManager {
  ByteArray<ipsecmb_manager_bytes_max> memory;
  IMB_MGR* ready;
};
constinit thread_local ThreadManager thread_manager{};

// Null when the library refuses the CPU or its own self-test.
WG_COLD IMB_MGR* start_manager() noexcept {
  WG_ASSERT(imb_get_mb_mgr_size() <= thread_manager.memory.size());
  constexpr std::uint64_t all_extensions = 0;
  constexpr unsigned clear_memory = 1;
  IMB_MGR* manager =
      imb_set_pointers_mb_mgr(thread_manager.memory.data(), all_extensions, clear_memory);
  WG_ASSERT(manager != nullptr);
  IMB_ARCH arch = IMB_ARCH_NONE;
  init_mb_mgr_auto(manager, &arch);
  const bool tested = (manager->features & IMB_FEATURE_SELF_TEST_PASS) != 0;
  const bool vectors = arch == IMB_ARCH_AVX2 || arch == IMB_ARCH_AVX512;
  if (imb_get_errno(manager) != 0 || !tested || !vectors) {
    return nullptr;
  }
  thread_manager.ready = manager;
  return manager;
}

IMB_MGR& manager_of_thread() noexcept {
  IMB_MGR* manager = thread_manager.ready;
  if (manager == nullptr) [[unlikely]] {
    manager = start_manager();
    // choose_aead() saw it start in another thread.
    WG_ASSERT(manager != nullptr);
  }
  return *manager;
}

struct Packet {
  const std::uint8_t* from;
  std::uint8_t* to;
  std::size_t bytes;
  Bytes aad;
  BytesOf<12> nonce;
  std::uint8_t* tag;
};

// The unchecked submission saves 10 ns a packet; every field that the checked one looks at is set
// here.
template <IMB_CIPHER_DIRECTION direction>
WG_HOT void run(IMB_MGR& manager, BytesOf<32> key, const Packet& packet) noexcept {
  IMB_JOB* job = manager.get_next_job(&manager);
  job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
  job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
  job->cipher_direction = direction;
  job->chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
  job->enc_keys = key.data();
  job->dec_keys = key.data();
  job->key_len_in_bytes = key.size();
  job->iv = packet.nonce.data();
  job->iv_len_in_bytes = packet.nonce.size();
  job->u.CHACHA20_POLY1305.aad = packet.aad.data();
  job->u.CHACHA20_POLY1305.aad_len_in_bytes = packet.aad.size();
  job->src = packet.from;
  job->dst = packet.to;
  job->cipher_start_src_offset_in_bytes = 0;
  job->msg_len_to_cipher_in_bytes = packet.bytes;
  job->hash_start_src_offset_in_bytes = 0;
  job->msg_len_to_hash_in_bytes = packet.bytes;
  job->auth_tag_output = packet.tag;
  job->auth_tag_output_len_in_bytes = tag_bytes;
  const IMB_JOB* done = manager.submit_job_nocheck(&manager);
  WG_ASSERT(done == job);
  WG_ASSERT(done->status == IMB_STATUS_COMPLETED);
}

// One job decrypts and computes the tag, so the plaintext is there before the verdict; what was
// forged is wiped before anybody can see it.
WG_HOT bool open_one(IMB_MGR& manager, BytesOf<32> key, const Packet& packet,
                     const std::uint8_t* expected_tag) noexcept {
  run<IMB_DIR_DECRYPT>(manager, key, packet);
  if (!ct_equal(Bytes(packet.tag, tag_bytes), Bytes(expected_tag, tag_bytes))) [[unlikely]] {
    wipe(MutableBytes(packet.to, packet.bytes));
    return false;
  }
  return true;
}

void seal_train(BytesOf<32> key, std::span<const SealSegment> train) noexcept {
  IMB_MGR& manager = manager_of_thread();
  for (const SealSegment& segment : train) {
    const ByteArray<12> nonce = counter_nonce(segment.counter);
    run<IMB_DIR_ENCRYPT>(manager, key,
                         {.from = segment.plain,
                          .to = segment.sealed,
                          .bytes = segment.plain_bytes,
                          .aad = {},
                          .nonce = nonce,
                          .tag = segment.sealed + segment.plain_bytes});
  }
}

void open_train(BytesOf<32> key, std::span<OpenSegment> train) noexcept {
  IMB_MGR& manager = manager_of_thread();
  for (OpenSegment& segment : train) {
    segment.opened = false;
    if (segment.sealed_bytes < tag_bytes) {
      continue;
    }
    const std::size_t plain_bytes = segment.sealed_bytes - tag_bytes;
    const ByteArray<12> nonce = counter_nonce(segment.counter);
    ByteArray<tag_bytes> tag{};
    segment.opened = open_one(manager, key,
                              {.from = segment.sealed,
                               .to = segment.plain,
                               .bytes = plain_bytes,
                               .aad = {},
                               .nonce = nonce,
                               .tag = tag.data()},
                              segment.sealed + plain_bytes);
  }
}

void seal_raw(MutableBytes sealed, Bytes plain, Bytes aad, BytesOf<32> key,
              BytesOf<12> nonce) noexcept {
  WG_ASSERT(sealed.size() == plain.size() + tag_bytes);
  run<IMB_DIR_ENCRYPT>(manager_of_thread(), key,
                       {.from = plain.data(),
                        .to = sealed.data(),
                        .bytes = plain.size(),
                        .aad = aad,
                        .nonce = nonce,
                        .tag = sealed.data() + plain.size()});
}

bool open_raw(MutableBytes plain, Bytes sealed, Bytes aad, BytesOf<32> key,
              BytesOf<12> nonce) noexcept {
  WG_ASSERT(sealed.size() == plain.size() + tag_bytes);
  ByteArray<tag_bytes> tag{};
  return open_one(manager_of_thread(), key,
                  {.from = sealed.data(),
                   .to = plain.data(),
                   .bytes = plain.size(),
                   .aad = aad,
                   .nonce = nonce,
                   .tag = tag.data()},
                  sealed.data() + plain.size());
}

constexpr Aead backend{.name = "ipsec-mb", .seal = seal_train, .open = open_train};
constexpr RawAead raw_backend{.name = "ipsec-mb", .seal = seal_raw, .open = open_raw};

[[nodiscard]] bool has_all(std::uint64_t features, std::uint64_t wanted) noexcept {
  return (features & wanted) == wanted;
}

}  // namespace

IpsecMbFacts ipsecmb_facts() noexcept {
  const std::uint64_t features = imb_get_feature_flags();
  IpsecMbFacts facts{
      .built = true,
      .cpu_has_avx2 = has_all(features, IMB_CPUFLAGS_AVX2),
      .cpu_has_avx512_ifma = has_all(features, IMB_CPUFLAGS_AVX512 | IMB_FEATURE_AVX512_IFMA),
      .library_wipes = has_all(features, IMB_FEATURE_SAFE_DATA),
      .manager_bytes = imb_get_mb_mgr_size(),
      .library_starts = false};
  facts.library_starts = facts.cpu_has_avx2 && facts.manager_bytes <= ipsecmb_manager_bytes_max &&
                         (thread_manager.ready != nullptr || start_manager() != nullptr);
  return facts;
}

void prepare_ipsecmb_thread() noexcept { static_cast<void>(manager_of_thread()); }
Bytes ipsecmb_thread_memory() noexcept { return thread_manager.memory; }

const Aead& aead_ipsecmb() noexcept { return backend; }
const RawAead& raw_aead_ipsecmb() noexcept { return raw_backend; }

}  // namespace wgring::crypto

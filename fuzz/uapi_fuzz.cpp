// Any text at the configuration socket, in pieces of any size. The parser never crashes; what it
// makes of a text does not depend on the pieces; a request is taken whole or refused with exactly
// one error that repeats no value.
//
//   | size of a piece, modulo 16; 0: all in one | the text |
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.hpp"
#include "daemon/uapi_parser.hpp"

namespace {

using namespace std::string_view_literals;
using wgring::daemon::PeerSection;
using wgring::daemon::Refusal;
using wgring::daemon::SetRequest;
using wgring::daemon::UapiParser;
using wgring::daemon::Verb;
using Progress = UapiParser::Progress;

std::uint32_t scope_of(std::string_view name) noexcept { return name == "eth0"sv ? 2 : 0; }

void append(std::string& text, std::uint64_t number) { text += std::to_string(number) + ' '; }

template <typename Bytes>
void append_bytes(std::string& text, const Bytes& bytes) {
  text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void append_prefixes(std::string& text, const SetRequest& request, const PeerSection& peer) {
  WG_ASSERT(std::size_t{peer.first_prefix} + peer.prefix_count <= request.prefixes.size());
  for (std::uint32_t i = 0; i < peer.prefix_count; ++i) {
    const auto& change = request.prefixes[peer.first_prefix + i];
    const auto& address = change.prefix.address;
    const bool v6 = address.family == wgring::noise::Family::v6;
    WG_ASSERT(change.prefix.cidr <= (v6 ? 128 : 32));
    append(text, static_cast<std::uint64_t>(change.kind));
    append(text, change.prefix.cidr);
    append_bytes(text, address.bytes);
  }
}

// All that a request says; what it refers to must be there.
std::string shown(const SetRequest& request) {
  std::string text;
  if (request.private_key) {
    append_bytes(text, request.private_key->view());
  }
  append(text, request.listen_port ? *request.listen_port + 1U : 0U);
  append(text, request.fwmark ? *request.fwmark + std::uint64_t{1} : 0U);
  append(text, request.replace_peers ? 1 : 0);
  for (const PeerSection& peer : request.peers) {
    append_bytes(text, peer.public_key);
    append(text, (peer.remove ? 1U : 0U) + (peer.update_only ? 2U : 0U));
    if (peer.preshared_key != PeerSection::no_preshared_key) {
      WG_ASSERT(peer.preshared_key < request.preshared_keys.size());
      append_bytes(text, request.preshared_keys[peer.preshared_key].view());
    }
    if (peer.endpoint) {
      WG_ASSERT(peer.endpoint->is_set());
      append(text, peer.endpoint->port);
      append(text, peer.endpoint->scope_id);
      append_bytes(text, peer.endpoint->ip.bytes);
    }
    append(text, peer.persistent_keepalive_s ? *peer.persistent_keepalive_s + 1U : 0U);
    append_prefixes(text, request, peer);
  }
  return text;
}

// What is said of a refusal goes into one line of the log and holds nothing that may be a key.
std::string shown(const Refusal& refusal) {
  WG_ASSERT(refusal.errno_value > 0);
  WG_ASSERT(!refusal.what.empty() && refusal.what.find('\n') == std::string_view::npos);
  WG_ASSERT(refusal.key.size() <= 32);
  WG_ASSERT(
      std::ranges::all_of(refusal.key, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; }));
  std::string text = "refused ";
  append(text, static_cast<std::uint64_t>(refusal.errno_value));
  append(text, refusal.line);
  text += refusal.what;
  return text + ' ' + refusal.key;
}

std::string outcome(UapiParser& parser) {
  const Refusal* const refusal = parser.refusal();
  const std::string request = shown(parser.take_set());
  if (refusal != nullptr) {
    WG_ASSERT(request == shown(SetRequest{}));  // nothing of it is kept
    return shown(*refusal);
  }
  WG_ASSERT(parser.verb() != Verb::none);
  WG_ASSERT(parser.verb() == Verb::set || request == shown(SetRequest{}));
  return (parser.verb() == Verb::set ? "set " : "get ") + request;
}

// A line for each request of the text, and one for what is left of it.
std::vector<std::string> outcomes(std::string_view text, std::size_t piece_bytes) {
  UapiParser parser(scope_of);
  std::vector<std::string> all;
  std::string refused;  // the one error of the request so far
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, piece_bytes);
    const UapiParser::Fed fed = parser.feed(piece);
    WG_ASSERT(fed.taken_bytes > 0 && fed.taken_bytes <= piece.size());
    WG_ASSERT(fed.progress != Progress::more || fed.taken_bytes == piece.size());
    text.remove_prefix(fed.taken_bytes);
    const Refusal* const refusal = parser.refusal();
    WG_ASSERT(refused.empty() || (refusal != nullptr && shown(*refusal) == refused));
    refused = refusal != nullptr ? shown(*refusal) : "";
    if (fed.progress == Progress::broken) {
      WG_ASSERT(refusal != nullptr);
      all.push_back("broken " + outcome(parser));
      return all;
    }
    if (fed.progress == Progress::complete) {
      all.push_back(outcome(parser));
      parser.reset();
      WG_ASSERT(parser.idle() && parser.refusal() == nullptr && parser.verb() == Verb::none);
      refused.clear();
    }
  }
  all.push_back(parser.idle() ? "idle" : "cut");
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::size_t piece_bytes = data[0] % 16;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::vector<std::string> whole = outcomes(text, std::string_view::npos);
  WG_ASSERT(piece_bytes == 0 || outcomes(text, piece_bytes) == whole);
  return 0;
}

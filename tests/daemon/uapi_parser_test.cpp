#include "daemon/uapi_parser.hpp"

#include <cerrno>
#include <memory>
#include <string>

#include <gtest/gtest.h>

namespace wgring::daemon {
namespace {

using Progress = UapiParser::Progress;

const std::string a(64, 'a');
const std::string b(64, 'b');
const std::string peer_a = "public_key=" + a + "\n";

std::uint32_t no_interface(std::string_view /*name*/) noexcept { return 0; }

std::unique_ptr<UapiParser> parsed(const std::string& text, std::size_t piece_bytes = 0) {
  auto parser = std::make_unique<UapiParser>(no_interface);
  const std::size_t step = piece_bytes == 0 ? text.size() : piece_bytes;
  Progress progress = Progress::more;
  for (std::size_t at = 0; at < text.size(); at += step) {
    EXPECT_EQ(progress, Progress::more) << "ended before " << at;
    progress = parser->feed(std::string_view{text}.substr(at, step)).progress;
  }
  EXPECT_EQ(progress, Progress::complete);
  return parser;
}

// All that a request says, as text to compare.
std::string shown(const SetRequest& request) {
  std::string text;
  text += request.private_key ? "key" + std::to_string(request.private_key->view()[0]) : "";
  text += request.listen_port ? " port" + std::to_string(*request.listen_port) : "";
  text += request.fwmark ? " mark" + std::to_string(*request.fwmark) : "";
  text += request.replace_peers ? " replace" : "";
  for (const PeerSection& peer : request.peers) {
    text += "\npeer" + std::to_string(peer.public_key[0]);
    text += peer.remove ? " remove" : "";
    text += peer.update_only ? " update" : "";
    if (peer.preshared_key != PeerSection::no_preshared_key) {
      text += " psk" + std::to_string(request.preshared_keys[peer.preshared_key].view()[0]);
    }
    text += peer.endpoint ? " to" + std::to_string(peer.endpoint->port) : "";
    text +=
        peer.persistent_keepalive_s ? " keep" + std::to_string(*peer.persistent_keepalive_s) : "";
    for (std::uint32_t i = 0; i < peer.prefix_count; ++i) {
      const noise::AllowedIpChange& change = request.prefixes[peer.first_prefix + i];
      text += " " + std::to_string(static_cast<int>(change.kind)) + "/" +
              std::to_string(change.prefix.cidr);
    }
  }
  return text;
}

const std::string everything = "set=1\nprivate_key=" + a +
                               "\nlisten_port=51820\nfwmark=7\nreplace_peers=true\n" + peer_a +
                               "update_only=true\npreshared_key=" + b +
                               "\nendpoint=1.2.3.4:5\npersistent_keepalive_interval=25\n"
                               "replace_allowed_ips=true\nallowed_ip=10.0.0.0/8\n"
                               "allowed_ip=-fd00::/64\nprotocol_version=1\npublic_key=" +
                               b + "\nremove=true\n\n";
const std::string everything_shown =
    "key170 port51820 mark7 replace\npeer170 update psk187 to5 keep25 2/0 0/8 1/64\n"
    "peer187 remove";

TEST(UapiParser, TakesEveryKeyOfASet) {
  const auto parser = parsed(everything);
  ASSERT_EQ(parser->refusal(), nullptr);
  EXPECT_EQ(parser->verb(), Verb::set);
  EXPECT_EQ(shown(parser->take_set()), everything_shown);
}

TEST(UapiParser, PiecesOfEverySizeMeanTheSame) {
  for (std::size_t piece = 1; piece <= everything.size(); ++piece) {
    const auto parser = parsed(everything, piece);
    ASSERT_EQ(parser->refusal(), nullptr) << piece;
    EXPECT_EQ(shown(parser->take_set()), everything_shown) << piece;
  }
}

TEST(UapiParser, EverySplitInTwoMeansTheSame) {
  for (std::size_t split = 1; split < everything.size(); ++split) {
    UapiParser parser(no_interface);
    const std::string_view text = everything;
    ASSERT_EQ(parser.feed(text.substr(0, split)).progress, Progress::more);
    ASSERT_EQ(parser.feed(text.substr(split)).progress, Progress::complete);
    EXPECT_EQ(shown(parser.take_set()), everything_shown) << split;
  }
}

TEST(UapiParser, GetIsTwoLines) {
  const auto parser = parsed("get=1\n\n");
  EXPECT_EQ(parser->verb(), Verb::get);
  EXPECT_EQ(parser->refusal(), nullptr);
}

TEST(UapiParser, StopsBehindTheBlankLine) {
  UapiParser parser(no_interface);
  const UapiParser::Fed fed = parser.feed("get=1\n\nset=1\n");
  EXPECT_EQ(fed.progress, Progress::complete);
  EXPECT_EQ(fed.taken_bytes, 7U);
  parser.reset();
  EXPECT_TRUE(parser.idle());
  EXPECT_EQ(parser.feed("set=1\nfwmark=1\n\n").progress, Progress::complete);
  EXPECT_EQ(shown(parser.take_set()), " mark1");
}

TEST(UapiParser, LastOfEqualKeysCounts) {
  EXPECT_EQ(shown(parsed("set=1\nfwmark=1\nfwmark=2\n\n")->take_set()), " mark2");
}

struct BadCase {
  std::string body;
  int errno_value;
  std::string key;
  std::uint64_t line = 2;
};

const BadCase bad_sets[] = {
    {"nonsense=1", EINVAL, "nonsense"},
    {"fwmark", EPROTO, ""},
    {"=", EINVAL, ""},
    {"=5", EINVAL, ""},
    {"fwmark =5", EINVAL, ""},
    {"FWMARK=5", EINVAL, ""},
    {"get=1", EINVAL, "get"},
    {"private_key=", EINVAL, "private_key"},
    {"private_key=" + a.substr(1), EINVAL, "private_key"},
    {"private_key=" + a + "a", EINVAL, "private_key"},
    {"private_key=" + a.substr(1) + "g", EINVAL, "private_key"},
    {"private_key=" + a.substr(1) + std::string(1, '\0'), EINVAL, "private_key"},
    {"listen_port=", EINVAL, "listen_port"},
    {"listen_port=65536", EINVAL, "listen_port"},
    {"listen_port=-1", EINVAL, "listen_port"},
    {"listen_port=1\r", EINVAL, "listen_port"},
    {"fwmark=4294967296", EINVAL, "fwmark"},
    {"fwmark=0x1", EINVAL, "fwmark"},
    {std::string("fwmark=1\0", 9), EINVAL, "fwmark"},
    {"replace_peers=false", EINVAL, "replace_peers"},
    {"replace_peers=1", EINVAL, "replace_peers"},
    {"public_key=" + a.substr(1), EINVAL, "public_key"},
    {"allowed_ip=10.0.0.0/8", EINVAL, "allowed_ip"},
    {"endpoint=1.2.3.4:5", EINVAL, "endpoint"},
    {"preshared_key=" + a, EINVAL, "preshared_key"},
    {"remove=true", EINVAL, "remove"},
    {"protocol_version=1", EINVAL, "protocol_version"},
    {peer_a + "private_key=" + a, EINVAL, "private_key", 3},
    {peer_a + "listen_port=1", EINVAL, "listen_port", 3},
    {peer_a + "replace_peers=true", EINVAL, "replace_peers", 3},
    {peer_a + "protocol_version=2", EINVAL, "protocol_version", 3},
    {peer_a + "protocol_version=", EINVAL, "protocol_version", 3},
    {peer_a + "remove=yes", EINVAL, "remove", 3},
    {peer_a + "update_only=TRUE", EINVAL, "update_only", 3},
    {peer_a + "replace_allowed_ips=", EINVAL, "replace_allowed_ips", 3},
    {peer_a + "preshared_key=" + a.substr(2), EINVAL, "preshared_key", 3},
    {peer_a + "endpoint=example.org:1", EINVAL, "endpoint", 3},
    {peer_a + "endpoint=1.2.3.4:65536", EINVAL, "endpoint", 3},
    {peer_a + "persistent_keepalive_interval=65536", EINVAL, "persistent_keepalive_interval", 3},
    {peer_a + "persistent_keepalive_interval=off", EINVAL, "persistent_keepalive_interval", 3},
    {peer_a + "allowed_ip=10.0.0.0/33", EINVAL, "allowed_ip", 3},
    {peer_a + "allowed_ip=fd00::/129", EINVAL, "allowed_ip", 3},
    {peer_a + "allowed_ip=10.0.0.0/-1", EINVAL, "allowed_ip", 3},
    {peer_a + "last_handshake_time_sec=1", EINVAL, "last_handshake_time_sec", 3},
};

TEST(UapiParser, RefusesBadLinesByNameAndReadsToTheEnd) {
  for (const BadCase& row : bad_sets) {
    const std::string text = "set=1\n" + row.body + "\nfwmark=9\nmore nonsense\n\n";
    for (const std::size_t piece : {text.size(), std::size_t{1}, std::size_t{5}}) {
      const auto parser = parsed(text, piece);
      ASSERT_NE(parser->refusal(), nullptr) << row.body;
      EXPECT_EQ(parser->refusal()->errno_value, row.errno_value) << row.body;
      EXPECT_EQ(parser->refusal()->key, row.key) << row.body;
      EXPECT_EQ(parser->refusal()->line, row.line) << row.body;
      EXPECT_EQ(shown(parser->take_set()), "") << row.body;
    }
  }
}

TEST(UapiParser, RefusalNeverRepeatsWhatMayBeAKey) {
  const std::string secret = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
  const auto parser = parsed("set=1\n" + secret + "\n\n");
  ASSERT_NE(parser->refusal(), nullptr);
  EXPECT_EQ(parser->refusal()->key, "");
  EXPECT_EQ(parser->refusal()->what.find("yAnz"), std::string_view::npos);
}

TEST(UapiParser, RefusesWhatIsNoOperation) {
  const std::pair<std::string, int> rows[] = {
      {"nonsense=1\n\n", EINVAL}, {"get=2\n\n", EINVAL}, {"set=\n\n", EINVAL},
      {"nonsense\n\n", EPROTO},   {"\n", EPROTO},        {" get=1\n\n", EINVAL}};
  for (const auto& [text, errno_value] : rows) {
    const auto parser = parsed(text);
    ASSERT_NE(parser->refusal(), nullptr) << text;
    EXPECT_EQ(parser->refusal()->errno_value, errno_value) << text;
  }
}

TEST(UapiParser, GetTakesNoKeys) {
  const auto parser = parsed("get=1\nfwmark=1\n\n");
  ASSERT_NE(parser->refusal(), nullptr);
  EXPECT_EQ(parser->refusal()->errno_value, EINVAL);
  EXPECT_EQ(parser->verb(), Verb::get);
}

TEST(UapiParser, LineOfTheLongestLengthIsStillOnlyRefused) {
  const std::string line = "x=" + std::string(uapi_line_bytes_max - 2, 'y');
  EXPECT_EQ(parsed("set=1\n" + line + "\n\n", 100)->refusal()->errno_value, EINVAL);
}

TEST(UapiParser, LineWithoutEndBreaksBeforeItCostsMemory) {
  UapiParser parser(no_interface);
  const std::string piece(1000, 'x');
  std::size_t fed_bytes = 0;
  Progress progress = Progress::more;
  while (progress == Progress::more && fed_bytes < (std::size_t{1} << 30)) {
    progress = parser.feed(piece).progress;
    fed_bytes += piece.size();
  }
  EXPECT_EQ(progress, Progress::broken);
  EXPECT_EQ(fed_bytes, 5000U);
  EXPECT_EQ(parser.refusal()->errno_value, EPROTO);
}

TEST(UapiParser, LongLineInOnePieceBreaksToo) {
  UapiParser parser(no_interface);
  const std::string text = "set=1\n" + std::string(uapi_line_bytes_max + 1, 'x') + "\n\n";
  EXPECT_EQ(parser.feed(text).progress, Progress::broken);
}

TEST(UapiParser, LongLineIsRefusedByItsNumberAndKey) {
  const std::pair<std::string, std::string> rows[] = {
      {"endpoint=" + std::string(5000, 'x'), "endpoint"},
      {std::string(5000, 'x'), ""},
      {std::string(100, 'x') + "=" + std::string(5000, 'x'), ""},
      {"Secret=" + std::string(5000, 'x'), ""},
  };
  for (const auto& [line, key] : rows) {
    const std::string text = "set=1\nfwmark=1\n" + line + "\n";
    for (const std::size_t piece : {text.size(), std::size_t{1}, std::size_t{19}}) {
      UapiParser parser(no_interface);
      Progress progress = Progress::more;
      for (std::size_t at = 0; at < text.size() && progress == Progress::more; at += piece) {
        progress = parser.feed(std::string_view{text}.substr(at, piece)).progress;
      }
      ASSERT_EQ(progress, Progress::broken);
      EXPECT_EQ(parser.refusal()->line, 3U);
      EXPECT_EQ(parser.refusal()->key, key) << "in pieces of " << piece;
    }
  }
}

TEST(UapiParser, EndlessRequestBreaksAtItsLimit) {
  UapiParser parser(no_interface);
  std::string block;
  while (block.size() < (std::size_t{1} << 20)) {
    block += "fwmark=" + std::string(4000, '0') + "\n";
  }
  ASSERT_EQ(parser.feed("set=1\n").progress, Progress::more);
  std::uint64_t fed_bytes = 0;
  Progress progress = Progress::more;
  while (progress == Progress::more && fed_bytes <= uapi_request_bytes_max) {
    progress = parser.feed(block).progress;
    fed_bytes += block.size();
  }
  EXPECT_EQ(progress, Progress::broken);
  EXPECT_EQ(parser.refusal()->errno_value, E2BIG);
}

TEST(UapiParser, TooManySectionsAreRefused) {
  UapiParser parser(no_interface);
  ASSERT_EQ(parser.feed("set=1\n").progress, Progress::more);
  for (std::size_t i = 0; i < uapi_sections_max; ++i) {
    ASSERT_EQ(parser.feed(peer_a).progress, Progress::more);
  }
  EXPECT_EQ(parser.refusal(), nullptr);
  ASSERT_EQ(parser.feed(peer_a).progress, Progress::more);
  ASSERT_NE(parser.refusal(), nullptr);
  EXPECT_EQ(parser.refusal()->errno_value, E2BIG);
}

}  // namespace
}  // namespace wgring::daemon

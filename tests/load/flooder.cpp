// Spoofed handshakes for tests/load/flood.py, as fast as they can be made or at a rate.
//
//   load_flooder garbage DEVICE MAC ADDRESS PORT KEY SECONDS RATE SOURCES
//   load_flooder mac1    ...    initiations with a valid mac1 and noise for the rest
//   load_flooder mac2    ...    the same, half of them with noise for a mac2
//   load_flooder proven  ...    each source first gets its cookie, then floods with it (IPv4)
//
// KEY is the receiver's public key in hex. RATE in datagrams a second; 0: all that there is. So
// many addresses (SOURCES) are used in turn, from 11.0.0.0 on; of networks of IPv6, from
// fd0b:b00::/64 on, where ADDRESS is of that family. The end is one line of JSON.
// `proven` says "proven N" when it has its cookies, or SECONDS are over, and waits for a line to
// flood.
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <random>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/load/frames.hpp"
#include "tests/load/initiations.hpp"
#include "tests/load/prover.hpp"

namespace load {
namespace {

constexpr std::uint32_t first_source = 11U << 24U;

struct Order {
  std::string_view kind;
  Target target;
  Key key{};
  double seconds = 0;
  double rate = 0;
  std::uint32_t sources = 1;
};

template <std::size_t N>
std::array<std::uint8_t, N> from_hex(std::string_view text) {
  std::array<std::uint8_t, N> bytes{};
  if (text.size() != 2 * N) {
    fail("wrong length: " + std::string{text});
  }
  for (std::size_t at = 0; at < N; ++at) {
    const char* const digits = text.data() + 2 * at;
    if (std::from_chars(digits, digits + 2, bytes[at], 16).ptr != digits + 2) {
      fail("not hex: " + std::string{text});
    }
  }
  return bytes;
}

double number(const char* text) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text || *end != '\0' || value < 0) {
    fail(std::string{"not a number: "} + text);
  }
  return value;
}

std::array<std::uint8_t, 6> mac_of(const char* device) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  if (::ioctl(fd, SIOCGIFHWADDR, &request) != 0) {
    fail("address of the device");
  }
  ::close(fd);
  std::array<std::uint8_t, 6> mac{};
  std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
  return mac;
}

std::string without_colons(std::string_view mac) {
  std::string digits;
  for (const char sign : mac) {
    if (sign != ':') {
      digits += sign;
    }
  }
  return digits;
}

Order read(char** words) {
  Order order;
  order.kind = words[1];
  Target& target = order.target;
  target.device_index = static_cast<int>(::if_nametoindex(words[2]));
  target.own_mac = mac_of(words[2]);
  target.mac = from_hex<6>(without_colons(words[3]));
  const bool v6 = std::strchr(words[4], ':') != nullptr;
  target.family = v6 ? Family::v6 : Family::v4;
  if (target.device_index == 0 ||
      ::inet_pton(v6 ? AF_INET6 : AF_INET, words[4], target.address.data()) != 1) {
    fail("no such device or address");
  }
  target.port = static_cast<std::uint16_t>(number(words[5]));
  order.key = from_hex<32>(words[6]);
  order.seconds = number(words[7]);
  order.rate = number(words[8]);
  order.sources = static_cast<std::uint32_t>(number(words[9]));
  if (order.sources == 0) {
    fail("no sources");
  }
  return order;
}

// A third each: initiations with a wrong mac1, data for keys that are not there, plain noise.
std::vector<Initiation> garbage(std::mt19937_64& noise) {
  std::vector<Initiation> messages(messages_made);
  for (std::size_t number = 0; number < messages.size(); ++number) {
    Initiation& message = messages[number];
    fill_with_noise(message, noise);
    if (number % 3 != 0) {
      const std::array<std::uint8_t, 4> type{static_cast<std::uint8_t>(number % 3 == 1 ? 1 : 4)};
      std::memcpy(message.data(), type.data(), type.size());
    }
  }
  return messages;
}

double cpu_s() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Calls round() until the time is over, not oftener than the rate allows.
template <typename Round>
void report_flood(Frames& frames, const Order& order, std::size_t proven, Round round) {
  const double begin = now_s();
  const double cpu = cpu_s();
  const Sent before = frames.sent();
  double now = begin;
  for (; now - begin < order.seconds; now = now_s()) {
    const auto sent = static_cast<double>(frames.sent().frames - before.frames);
    if (order.rate > 0 && sent > (now - begin) * order.rate) {
      ::usleep(500);
    } else {
      round();
    }
  }
  std::printf(
      "{\"sent\": %llu, \"refused\": %llu, \"seconds\": %.3f, \"cpu_s\": %.3f, \"proven\": %zu}\n",
      static_cast<unsigned long long>(frames.sent().frames - before.frames),
      static_cast<unsigned long long>(frames.sent().refused - before.refused), now - begin,
      cpu_s() - cpu, proven);
}

void flood_blindly(const Order& order, const std::vector<Initiation>& messages) {
  Frames frames{order.target, Frames::Answers::ignored};
  std::uint32_t next = 0;
  report_flood(frames, order, 0, [&] {
    for (std::size_t i = 0; i < Frames::batch_frames; ++i, ++next) {
      frames.add(first_source + next % order.sources, messages[next % messages.size()]);
    }
  });
}

void flood_proven(const Order& order, const std::vector<Initiation>& messages) {
  if (order.target.family != Family::v4) {
    fail("sources that answer are of IPv4");
  }
  Frames frames{order.target, Frames::Answers::received};
  Prover prover{frames, messages, order.key, first_source, order.sources};
  const std::size_t proven = prover.collect(order.seconds);
  std::printf("proven %zu\n", proven);
  std::fflush(stdout);
  std::string go;
  std::getline(std::cin, go);
  if (proven == 0) {
    fail("no cookie came");
  }
  report_flood(frames, order, proven, [&] {
    prover.flood_round();
    frames.flush();
  });
}

}  // namespace
}  // namespace load

int main(int count, char** words) {
  if (count != 10) {
    std::fprintf(stderr, "see the head of tests/load/flooder.cpp\n");
    return 2;
  }
  const load::Order order = load::read(words);
  std::mt19937_64 noise{1};  // the same flood each time
  if (order.kind == "garbage") {
    load::flood_blindly(order, load::garbage(noise));
  } else if (order.kind == "mac1") {
    load::flood_blindly(order, load::initiations(order.key, noise));
  } else if (order.kind == "mac2") {
    load::flood_blindly(order, load::with_false_mac2(load::initiations(order.key, noise), noise));
  } else if (order.kind == "proven") {
    load::flood_proven(order, load::initiations(order.key, noise));
  } else {
    load::fail("no such kind of flood");
  }
  return 0;
}

#include "tests/support/image.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

namespace wgring::test {
namespace {

const auto page_bytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
// Only the shadow memory of a sanitizer is larger; it holds nothing that the program wrote.
constexpr std::uintptr_t mapping_bytes_max = std::uintptr_t{1} << 40;

struct Mapping {
  std::uintptr_t first = 0;
  std::uintptr_t end = 0;
  std::string name;
};

std::vector<Mapping> writable_mappings() {
  std::vector<Mapping> found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    Mapping mapping;
    std::string rights;
    std::string skipped;
    char dash = 0;
    fields >> std::hex >> mapping.first >> dash >> mapping.end >> rights >> skipped >> skipped >>
        skipped >> mapping.name;
    if (rights.starts_with("rw") && mapping.end - mapping.first <= mapping_bytes_max) {
      found.push_back(mapping);
    }
  }
  if (found.empty()) {
    throw std::runtime_error("cannot read /proc/self/maps");
  }
  return found;
}

// Which pages have ever been touched, as /proc/self/pagemap says.
class PageMap {
 public:
  PageMap() : file_(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) {
    if (file_ < 0) {
      throw std::runtime_error("cannot read /proc/self/pagemap");
    }
  }
  PageMap(const PageMap&) = delete;
  PageMap& operator=(const PageMap&) = delete;
  ~PageMap() { ::close(file_); }

  // Calls touched(first, end) for each run of such pages.
  template <typename Touched>
  void for_each_run(const Mapping& mapping, Touched touched) {
    std::uintptr_t run = mapping.first;  // where the run begins that ends at `at`
    std::uintptr_t at = mapping.first;
    while (at < mapping.end) {
      const std::size_t pages =
          std::min((mapping.end - at) / page_bytes, std::uintptr_t{entries_.size()});
      const ssize_t wanted = static_cast<ssize_t>(pages * sizeof(std::uint64_t));
      const auto offset = static_cast<off_t>(at / page_bytes * sizeof(std::uint64_t));
      if (::pread(file_, entries_.data(), static_cast<std::size_t>(wanted), offset) != wanted) {
        throw std::runtime_error("cannot read /proc/self/pagemap");
      }
      for (std::size_t i = 0; i < pages; ++i, at += page_bytes) {
        constexpr std::uint64_t present_or_swapped = std::uint64_t{3} << 62U;
        if ((entries_[i] & present_or_swapped) == 0) {
          if (run < at) {
            touched(run, at);
          }
          run = at + page_bytes;
        }
      }
    }
    if (run < at) {
      touched(run, at);
    }
  }

 private:
  int file_;
  std::array<std::uint64_t, 8192> entries_{};
};

// Reads what is not an object of ours, redzones and other threads' stacks included.
class Search {
 public:
  explicit Search(std::span<const Needle> needles) : needles_(needles) {
    for (const Needle& needle : needles) {
      begins_[needle.disguised()[0] ^ Needle::disguise] = true;
    }
  }
  // Calls found(needle's number, address) for each that begins in [first, end).
  template <typename Found>
  __attribute__((no_sanitize("address", "thread", "undefined"))) void in(std::uintptr_t first,
                                                                         std::uintptr_t end,
                                                                         Found found) const {
    for (std::uintptr_t at = first; at < end; ++at) {
      // NOLINTNEXTLINE(performance-no-int-to-ptr): an address of /proc/self/maps
      const auto* const bytes = reinterpret_cast<const volatile std::uint8_t*>(at);
      if (!begins_[*bytes]) {
        continue;
      }
      for (std::size_t i = 0; i < needles_.size(); ++i) {
        if (needles_[i].size() <= end - at && is_at(bytes, needles_[i])) {
          found(i, at);
        }
      }
    }
  }

 private:
  __attribute__((no_sanitize("address", "thread", "undefined"))) static bool is_at(
      const volatile std::uint8_t* at, const Needle& needle) noexcept {
    for (std::size_t i = 0; i < needle.size(); ++i) {
      if ((at[i] ^ Needle::disguise) != needle.disguised()[i]) {
        return false;
      }
    }
    return true;
  }

  std::span<const Needle> needles_;
  std::array<bool, 256> begins_{};  // whether one of them begins with that byte
};

}  // namespace

Needle::Needle(Bytes secret) noexcept : size_(secret.size()) {
  WG_ASSERT(size_ >= 16 && size_ <= bytes_max);
  for (std::size_t i = 0; i < size_; ++i) {
    disguised_[i] = static_cast<std::uint8_t>(secret[i] ^ disguise);
  }
}

Needle Needle::of_disguised(Bytes disguised) noexcept {
  WG_ASSERT(disguised.size() >= 16 && disguised.size() <= bytes_max);
  Needle needle;
  copy_bytes(MutableBytes{needle.disguised_}.first(disguised.size()), disguised);
  needle.size_ = disguised.size();
  return needle;
}

std::vector<Places> places_in_image(std::span<const Needle> needles) {
  std::vector<Places> places(needles.size());
  const Search search(needles);
  PageMap pages;
  for (const Mapping& mapping : writable_mappings()) {
    pages.for_each_run(mapping, [&](std::uintptr_t first, std::uintptr_t end) {
      search.in(first, end, [&](std::size_t needle, std::uintptr_t at) {
        std::ostringstream place;
        place << std::hex << at << " in " << (mapping.name.empty() ? "memory" : mapping.name);
        places[needle].push_back(place.str());
      });
    });
  }
  return places;
}

}  // namespace wgring::test

// Faults on purpose, one for each sanitizer, and the process goes on when there is none. Volatile:
// they must outlive the optimiser.
#pragma once

#include <cstddef>
#include <limits>
#include <string_view>
#include <thread>
#include <vector>

namespace wgring::test {

// By one, where the heap has room to spare.
inline void write_behind_memory() {
  const volatile std::size_t size = 16;
  std::vector<char> memory(size);
  volatile char* const bytes = memory.data();
  bytes[size] = 1;
}

inline void overflow_a_signed_number() {
  volatile int number = std::numeric_limits<int>::max();
  number = number + 1;
}

inline void race_for_a_number() {
  volatile int number = 0;
  const auto count = [&number] {
    for (int i = 0; i < 1000; ++i) {
      number = number + 1;
    }
  };
  std::thread other(count);
  count();
  other.join();
}

// Named after the sanitizer that finds it. False: there is none of that name.
[[nodiscard]] inline bool commit_fault(std::string_view name) {
  if (name == "address") {
    write_behind_memory();
  } else if (name == "undefined") {
    overflow_a_signed_number();
  } else if (name == "thread") {
    race_for_a_number();
  } else {
    return name == "none";
  }
  return true;
}

}  // namespace wgring::test

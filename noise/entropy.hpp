// Randomness is injected: the daemon gives the system's, a test gives a seed.
#pragma once

#include "base/bytes.hpp"

namespace wgring::noise {

struct Entropy {
  void* context = nullptr;
  // Fills all bytes or returns false; after false nothing of them may be used.
  bool (*fill)(void* context, MutableBytes) noexcept = nullptr;

  [[nodiscard]] bool operator()(MutableBytes to) const noexcept { return fill(context, to); }
};

}  // namespace wgring::noise

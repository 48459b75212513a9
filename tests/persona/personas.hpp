// The kernels and sandboxes that can be played. Facts: measured on the old kernels themselves.
#pragma once

#include <span>
#include <string_view>

#include "tests/persona/filter.hpp"
#include "tests/persona/judge.hpp"

namespace wgring::persona {

struct Persona {
  std::string_view name;
  std::string_view what;
  void (*rules)(Filter& filter);
  Judge judge = nullptr;  // of the calls that the rules ask about; none: no supervisor
};

[[nodiscard]] std::span<const Persona> personas() noexcept;
// nullptr when there is none of this name.
[[nodiscard]] const Persona* find_persona(std::string_view name) noexcept;

}  // namespace wgring::persona

// Sources that answer: each asks until it has its cookie, then all send with a valid mac2.
//
// 1 collect: initiations from each source in turn; a cookie reply is opened and kept
// 2 flood:   the same initiations with mac2, from all sources that have a cookie
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/load/frames.hpp"
#include "tests/load/initiations.hpp"

namespace load {

class Prover {
 public:
  Prover(Frames& frames, std::vector<Initiation> messages, const Key& receiver,
         std::uint32_t first_source, std::size_t sources);

  // Number of sources that have a cookie when all have, or the time is over.
  std::size_t collect(double seconds);
  // One round over all proven sources; false when there is none.
  bool flood_round();

 private:
  struct Source {
    std::array<std::uint8_t, 16> mac2{};
    bool proven = false;
  };

  void ask();
  void take_replies();
  void take_reply(Bytes frame);
  [[nodiscard]] const Initiation& message_of(std::size_t source) const noexcept {
    return messages_[source % messages_.size()];
  }

  Frames& frames_;
  std::vector<Initiation> messages_;
  Key cookie_key_;
  std::uint32_t first_source_;
  std::vector<Source> sources_;
  std::size_t proven_ = 0;
  std::size_t next_ = 0;
  std::vector<std::array<std::uint8_t, 256>> received_;
};

}  // namespace load

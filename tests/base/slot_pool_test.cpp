#include "base/slot_pool.hpp"

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace wgring {
namespace {

class SlotPoolTest : public ::testing::Test {
 protected:
  static constexpr std::size_t slot_bytes = 64;
  std::array<std::uint8_t, 4 * slot_bytes> memory{};
  std::array<std::uint32_t, 4> free_list{};
  SlotPool pool{memory, free_list, slot_bytes};
};

TEST_F(SlotPoolTest, SlotsAreApartAndInTheMemory) {
  std::vector<Slot> slots;
  for (int i = 0; i < 4; ++i) {
    slots.push_back(pool.take());
    ASSERT_TRUE(slots.back());
    EXPECT_EQ(slots.back().bytes().size(), slot_bytes);
    EXPECT_EQ(slots.back().pool(), &pool);
    slots.back().data()[0] = static_cast<std::uint8_t>(i + 1);
    slots.back().data()[slot_bytes - 1] = static_cast<std::uint8_t>(i + 1);
  }
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(slots[static_cast<std::size_t>(i)].data()[0], i + 1);
    EXPECT_EQ(memory[static_cast<std::size_t>(i) * slot_bytes], i + 1);
  }
  EXPECT_EQ(pool.available(), 0U);
  EXPECT_EQ(pool.slot_count(), 4U);
}

TEST_F(SlotPoolTest, ExhaustedGivesAnEmptyHandle) {
  std::vector<Slot> slots;
  slots.reserve(4);
  for (int i = 0; i < 4; ++i) {
    slots.push_back(pool.take());
  }
  EXPECT_FALSE(pool.take());
  slots.pop_back();
  EXPECT_TRUE(pool.take());
  EXPECT_EQ(pool.available(), 1U);
}

TEST_F(SlotPoolTest, LastReturnedIsFirstTaken) {
  Slot a = pool.take();
  Slot b = pool.take();
  const std::uint8_t* const bytes_of_a = a.data();
  b.reset();
  a.reset();
  EXPECT_EQ(pool.take().data(), bytes_of_a);
}

TEST_F(SlotPoolTest, MovingHandsOver) {
  Slot a = pool.take();
  const std::uint8_t* const bytes = a.data();
  Slot b(std::move(a));
  EXPECT_FALSE(a);  // NOLINT: a moved-from slot is empty by contract
  EXPECT_EQ(b.data(), bytes);
  Slot c = pool.take();
  EXPECT_EQ(pool.available(), 2U);
  c = std::move(b);  // c's own goes home
  EXPECT_EQ(c.data(), bytes);
  EXPECT_EQ(pool.available(), 3U);
  Slot& same = c;
  c = std::move(same);
  EXPECT_EQ(c.data(), bytes);
  c = Slot{};
  EXPECT_EQ(pool.available(), 4U);
  c.reset();
  EXPECT_EQ(pool.available(), 4U);
}

TEST_F(SlotPoolTest, ReleaseAndAdopt) {
  Slot slot = pool.take();
  const std::uint8_t* const bytes = slot.data();
  const std::uint32_t id = slot.release();
  EXPECT_FALSE(slot);
  slot.reset();
  EXPECT_EQ(pool.available(), 3U);
  EXPECT_EQ(pool.bytes_of(id).data(), bytes);
  slot = pool.adopt(id);
  EXPECT_EQ(slot.data(), bytes);
  slot.reset();
  EXPECT_EQ(pool.available(), 4U);
}

using SlotPoolDeathTest = SlotPoolTest;
TEST_F(SlotPoolDeathTest, MisuseIsABug) {
  Slot empty;
  EXPECT_DEATH(static_cast<void>(empty.bytes()), "assertion failed");
  EXPECT_DEATH(static_cast<void>(empty.release()), "assertion failed");
  EXPECT_DEATH(static_cast<void>(pool.adopt(4)), "assertion failed");
  EXPECT_DEATH(SlotPool(MutableBytes{memory}.first(4 * slot_bytes - 1), free_list, slot_bytes),
               "assertion failed");
}

// fault: freebsd-pullup
TEST_F(SlotPoolDeathTest, MoreReturnsThanSlotsIsABug) {
  EXPECT_DEATH(static_cast<void>(pool.adopt(1)), "assertion failed");
}

TEST_F(SlotPoolDeathTest, PoolOutlivesItsSlots) {
  EXPECT_DEATH(
      {
        std::optional<SlotPool> dying;
        dying.emplace(MutableBytes{memory}, std::span{free_list}, slot_bytes);
        Slot slot = dying->take();
        dying.reset();
      },
      "assertion failed");
}

}  // namespace
}  // namespace wgring

#include "noise/handshake_queue.hpp"

#include <gtest/gtest.h>

#include "tests/support/memory.hpp"

namespace wgring::noise {
namespace {

class HandshakeQueueTest : public testing::Test {
 protected:
  HandshakeQueueTest() { EXPECT_TRUE(queue.open(memory.source())); }
  [[nodiscard]] bool push(std::uint16_t mark, std::size_t bytes = 148) {
    ByteArray<148> message{};
    store_be16(message.data(), mark);
    SocketAddress address;
    address.port = mark;
    return queue.push(Bytes{message}.first(bytes), address, LocalSource{});
  }

  test::TestMemory memory;
  HandshakeQueue queue;
  static constexpr Instant start{Duration{1'000'000'000'000}};
};

TEST_F(HandshakeQueueTest, first_in_first_out_with_source_and_size) {
  EXPECT_TRUE(push(1, 148));
  EXPECT_TRUE(push(2, 92));
  EXPECT_TRUE(push(3, 64));
  for (const auto& [mark, bytes] : {std::pair{1, 148U}, {2, 92U}, {3, 64U}}) {
    EXPECT_EQ(queue.front().view().size(), bytes);
    EXPECT_EQ(load_be16(queue.front().view().data()), mark);
    EXPECT_EQ(queue.front().source.port, mark);
    queue.pop();
  }
  EXPECT_TRUE(queue.empty());
}

TEST_F(HandshakeQueueTest, the_4097th_is_refused_and_order_survives_the_wrap) {
  for (std::uint16_t i = 0; i < 4000; ++i) {
    ASSERT_TRUE(push(i));
  }
  for (std::uint16_t i = 0; i < 3999; ++i) {
    queue.pop();
  }
  for (std::uint16_t i = 4000; i < 8095; ++i) {
    ASSERT_TRUE(push(i));
  }
  EXPECT_FALSE(push(9999));
  for (std::uint16_t i = 3999; i < 8095; ++i) {
    ASSERT_EQ(queue.front().source.port, i);
    queue.pop();
  }
}

TEST_F(HandshakeQueueTest, under_load_from_512_waiting_and_for_one_second_after) {
  for (std::uint16_t i = 0; i < 511; ++i) {
    ASSERT_TRUE(push(i));
  }
  EXPECT_FALSE(queue.under_load(start));
  ASSERT_TRUE(push(511));
  EXPECT_TRUE(queue.under_load(start));
  queue.clear();
  EXPECT_TRUE(queue.under_load(start + 1s - Duration{1}));
  EXPECT_FALSE(queue.under_load(start + 1s));
}

// Each message is answered at once, so none waits: what ends the load is that fewer come.
TEST_F(HandshakeQueueTest, load_lasts_while_512_come_in_each_second) {
  for (std::uint16_t i = 0; i < 512; ++i) {
    ASSERT_TRUE(push(i));
  }
  EXPECT_TRUE(queue.under_load(start));
  queue.clear();
  for (int second = 1; second <= 5; ++second) {
    for (std::uint16_t i = 0; i < 512; ++i) {
      ASSERT_TRUE(push(i));
      queue.pop();
    }
    EXPECT_TRUE(queue.under_load(start + second * 1s)) << second;
  }
  for (std::uint16_t i = 0; i < 511; ++i) {
    ASSERT_TRUE(push(i));
    queue.pop();
  }
  EXPECT_FALSE(queue.under_load(start + 6s));
  ASSERT_TRUE(push(511));
  EXPECT_FALSE(queue.under_load(start + 6s)) << "it had ended";
}

TEST_F(HandshakeQueueTest, what_came_before_a_pause_is_no_load) {
  for (std::uint16_t i = 0; i < 512; ++i) {
    ASSERT_TRUE(push(i));
  }
  EXPECT_TRUE(queue.under_load(start));
  queue.clear();
  for (std::uint16_t i = 0; i < 512; ++i) {
    ASSERT_TRUE(push(i));
    queue.pop();
  }
  EXPECT_FALSE(queue.under_load(start + 2s));
}

}  // namespace
}  // namespace wgring::noise

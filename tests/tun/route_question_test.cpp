// What the kernel would do with a datagram: asked, and compared with the routes of the test.
#include "tun/route_question.hpp"

#include <errno.h>

#include "tests/tun/space.hpp"

namespace wgring::tun::test {
namespace {

using noise::Family;

class RouteQuestionTest : public SpaceTest {
 protected:
  void SetUp() override {
    SpaceTest::SetUp();
    for (const char* const name : {"first", "second"}) {
      Result<TunDevice> device = create_plain(name);
      ASSERT_TRUE(device);
      (name[0] == 'f' ? first_ : second_) = std::move(*device);
      set_up(name);
    }
    set_address("first", "10.1.0.1");
    set_address("second", "10.2.0.1");
    Result<RouteQuestion> opened = RouteQuestion::open();
    ASSERT_TRUE(opened);
    question_.emplace(std::move(*opened));
  }

  std::optional<RouteAnswer> ask(ByteArray<4> from, ByteArray<4> to) {
    RouteQuery query;
    query.local_port = 1001;
    query.fwmark = 5;
    query.endpoint.remote.port = 1002;
    query.endpoint.remote.ip.family = Family::v4;
    copy_bytes(query.endpoint.remote.ip.bytes, to);
    query.endpoint.source.ip.family = Family::v4;
    copy_bytes(query.endpoint.source.ip.bytes, from);
    return question_->ask(query);
  }

  TunDevice first_;
  TunDevice second_;
  std::optional<RouteQuestion> question_;
};

TEST_F(RouteQuestionTest, TellsTheInterfaceOrTheErrorOfEachQuestion) {
  for (int i = 0; i < 3; ++i) {
    for (const ByteArray<4> from : {ByteArray<4>{10, 1, 0, 1}, {10, 2, 0, 1}}) {
      const std::optional<RouteAnswer> near = ask(from, {10, 2, 0, 2});
      ASSERT_TRUE(near);
      EXPECT_EQ(near->errno_value, 0);
      EXPECT_EQ(near->interface_index, ::if_nametoindex("second"));
    }
    const std::optional<RouteAnswer> foreign = ask({10, 3, 0, 1}, {10, 2, 0, 2});
    ASSERT_TRUE(foreign);
    EXPECT_EQ(foreign->errno_value, EINVAL) << "not an address of ours";
    const std::optional<RouteAnswer> away = ask({10, 1, 0, 1}, {192, 0, 2, 1});
    ASSERT_TRUE(away);
    EXPECT_EQ(away->errno_value, ENETUNREACH);
  }
}

}  // namespace
}  // namespace wgring::tun::test

// The reader against a socket in the place of a TUN: it gives what no kernel does.
#include "tun/engine/tun_reader.hpp"

#include <memory>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tun/fd.hpp"
#include "tun/train_pool.hpp"

namespace wgring::tun::test {
namespace {

class TunReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(pools_.open());
    int ends[2] = {-1, -1};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    kernel_ = Fd{ends[0]};
    tun_ = Fd{ends[1]};
  }
  void give(std::size_t bytes) {
    const std::vector<std::uint8_t> packet(bytes, 0);
    ASSERT_EQ(::write(kernel_.get(), packet.data(), bytes), static_cast<ssize_t>(bytes));
  }
  TunNext read() { return reader_.read(tun_.get(), *inbox_, counters_); }

  TrainPools pools_;
  Fd kernel_;
  Fd tun_;
  TunReader reader_;
  std::unique_ptr<Inbox> inbox_ = std::make_unique<Inbox>();
  EngineCounters counters_;
};

TEST_F(TunReaderTest, AReadShorterThanItsHeaderIsAnErrorAndOthersGoOn) {  // H67
  ASSERT_TRUE(reader_.open(pools_.trains(), VnetMode::on));
  for (std::size_t bytes = 0; bytes < noise::VnetHeader::size; ++bytes) {
    give(bytes);
  }
  give(noise::VnetHeader::size);
  give(noise::VnetHeader::size + 20);
  for (std::size_t bytes = 0; bytes < noise::VnetHeader::size; ++bytes) {
    EXPECT_EQ(read(), TunNext::drained) << "one at a time";
  }
  EXPECT_EQ(counters_.tun_errors.sum(), noise::VnetHeader::size);
  EXPECT_TRUE(inbox_->plains.empty());
  EXPECT_EQ(read(), TunNext::drained);
  ASSERT_EQ(inbox_->plains.size(), 2U);
  EXPECT_EQ(inbox_->plains[0].bytes, 0U) << "which the core refuses";
  EXPECT_EQ(inbox_->plains[1].bytes, 20U);
  EXPECT_EQ(counters_.tun_read, 2U);
  inbox_->clear();
  reader_.close();
}

}  // namespace
}  // namespace wgring::tun::test

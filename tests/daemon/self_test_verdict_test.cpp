#include "daemon/self_test_verdict.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wgring::daemon {
namespace {

using crypto::SelfTestResult;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(SelfTestVerdict, AllPassed) {
  const SelfTestResult results[] = {{"x25519", true}, {"chacha20-poly1305/boringssl", true}};
  const SelfTestVerdict verdict = judge_self_test(results);
  EXPECT_EQ(verdict.fatal, "");
  EXPECT_THAT(verdict.errors, IsEmpty());
  EXPECT_EQ(verdict.aead_reason, "self-test passed");
}

TEST(SelfTestVerdict, OfThisMachine) {
  ASSERT_TRUE(crypto::initialise());
  const SelfTestVerdict verdict = judge_self_test(crypto::self_test());
  EXPECT_EQ(verdict.fatal, "");
  EXPECT_THAT(verdict.errors, IsEmpty());
}

TEST(SelfTestVerdict, ABackendThatFailedIsNamedAndTheRestGoesOn) {
  const SelfTestResult results[] = {{"x25519", true},
                                    {"chacha20-poly1305/boringssl", false},
                                    {"chacha20-poly1305/sodium", true},
                                    {"chacha20-poly1305/ipsec-mb", false}};
  const SelfTestVerdict verdict = judge_self_test(results);
  EXPECT_EQ(verdict.fatal, "");
  EXPECT_THAT(verdict.errors, ElementsAre("self-test: chacha20-poly1305/boringssl gives wrong "
                                          "answers on this machine and is not used",
                                          "self-test: chacha20-poly1305/ipsec-mb gives wrong "
                                          "answers on this machine and is not used"));
  EXPECT_EQ(verdict.aead_reason, "self-test passed, another one failed");
}

TEST(SelfTestVerdict, AnythingElseThatFailedIsFatal) {
  for (const char* primitive : {"x25519", "blake2s", "hmac-kdf", "xchacha20-poly1305", "siphash",
                                "constant-time", "random", "a new one"}) {
    const SelfTestResult results[] = {{"chacha20-poly1305/boringssl", true}, {primitive, false}};
    const SelfTestVerdict verdict = judge_self_test(results);
    EXPECT_EQ(verdict.fatal,
              "self-test: " + std::string(primitive) + " gives wrong answers on this machine");
    EXPECT_THAT(verdict.errors, IsEmpty());
  }
}

TEST(SelfTestVerdict, TheFirstFatalOneIsNamedAndBackendsAreLoggedAllTheSame) {
  const SelfTestResult results[] = {
      {"blake2s", false}, {"chacha20-poly1305/sodium", false}, {"random", false}};
  const SelfTestVerdict verdict = judge_self_test(results);
  EXPECT_EQ(verdict.fatal, "self-test: blake2s gives wrong answers on this machine");
  EXPECT_EQ(verdict.errors.size(), 1U);
}

}  // namespace
}  // namespace wgring::daemon

#include "base/auth/token_store.h"

#include "base/store/memory_store.h"
#include "tests/testing/status_matchers.h"

namespace oneai {
namespace {

using common::v1::Principal;
using ::testing::_;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::StatusIs;

class TokenStoreTest : public ::testing::Test {
 protected:
  auth::v1::CreateTokenRequest Request() {
    auth::v1::CreateTokenRequest request;
    request.set_name("alice");
    request.set_kind(Principal::USER);
    request.set_business_unit("retail");
    request.add_bindings()->set_role(auth::v1::ENGINEER);
    request.mutable_bindings(0)->set_business_unit("retail");
    return request;
  }

  std::unique_ptr<Store> store_ = NewMemoryStore();
  FakeClock clock_;
  TokenStore tokens_{store_.get(), &clock_};
};

TEST_F(TokenStoreTest, ATokenStandsForItsPrincipal) {
  ASSERT_OK_AND_ASSIGN(const auto token, tokens_.Create(Request()));
  ASSERT_OK_AND_ASSIGN(const Identity identity, tokens_.Authenticate(token.secret()));
  EXPECT_EQ(identity.principal.name(), "alice");
  EXPECT_EQ(identity.principal.business_unit(), "retail");
  ASSERT_EQ(identity.bindings.size(), 1u);
  EXPECT_EQ(identity.bindings[0].role(), auth::v1::ENGINEER);
}

TEST_F(TokenStoreTest, UnknownExpiredAndRevokedSoundTheSame) {
  ASSERT_OK_AND_ASSIGN(const auto expired, tokens_.Create(Request()));
  clock_.Advance(absl::Hours(24 * 90) + absl::Seconds(1));
  ASSERT_OK_AND_ASSIGN(const auto revoked, tokens_.Create(Request()));
  ASSERT_OK(tokens_.Revoke(revoked.id()));
  const absl::Status unknown = tokens_.Authenticate("oneai_nonsense").status();
  EXPECT_THAT(unknown, StatusIs(absl::StatusCode::kUnauthenticated, _));
  EXPECT_EQ(tokens_.Authenticate(expired.secret()).status(), unknown);
  EXPECT_EQ(tokens_.Authenticate(revoked.secret()).status(), unknown);
  EXPECT_EQ(tokens_.Authenticate("").status(), unknown);
  EXPECT_THAT(tokens_.Revoke(revoked.id()), StatusIs(absl::StatusCode::kNotFound, _));
}

TEST_F(TokenStoreTest, TheSecretIsNeverStored) {
  ASSERT_OK_AND_ASSIGN(const auto token, tokens_.Create(Request()));
  ASSERT_OK_AND_ASSIGN(const RangeResult everything, store_->List(""));
  for (const KeyValue& item : everything.items) {
    EXPECT_THAT(item.key + item.value, Not(HasSubstr(token.secret())));
  }
  ASSERT_OK_AND_ASSIGN(const auto list, tokens_.List());
  ASSERT_EQ(list.tokens_size(), 1);
  EXPECT_EQ(list.tokens(0).id(), token.id());
}

TEST_F(TokenStoreTest, RefusesWhatMakesNoSense) {
  const auto refused = [&](auto change) {
    auth::v1::CreateTokenRequest request = Request();
    change(request);
    return tokens_.Create(request).status().code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](auto& r) { r.clear_name(); }));
  EXPECT_TRUE(refused([](auto& r) { r.set_kind(Principal::NODE); }));
  EXPECT_TRUE(refused([](auto& r) { r.clear_bindings(); }));
  EXPECT_TRUE(
      refused([](auto& r) { r.mutable_bindings(0)->set_role(static_cast<auth::v1::Role>(99)); }));
  EXPECT_TRUE(refused([](auto& r) { r.mutable_bindings(0)->clear_business_unit(); }));
  EXPECT_TRUE(refused([](auto& r) { r.set_lifetime_seconds(400LL * 24 * 3600); }));
  EXPECT_TRUE(refused([](auto& r) { r.set_lifetime_seconds(-1); }));
}

TEST_F(TokenStoreTest, TheFirstAdminIsMadeOnce) {
  std::vector<std::string> kept;
  const auto keep = [&kept](const std::string& secret) {
    kept.push_back(secret);
    return absl::OkStatus();
  };
  ASSERT_OK(tokens_.CreateFirstAdmin(keep));
  ASSERT_OK(tokens_.CreateFirstAdmin(keep));
  ASSERT_EQ(kept.size(), 1u);
  ASSERT_OK_AND_ASSIGN(const Identity admin, tokens_.Authenticate(kept[0]));
  EXPECT_OK(CheckPermission(admin, Permission::kManageTokens, ""));
}

TEST_F(TokenStoreTest, AnAdminWhoseSecretCannotBeKeptIsNotMade) {
  const auto lose = [](const std::string&) { return absl::ResourceExhaustedError("disk full"); };
  EXPECT_TRUE(absl::IsResourceExhausted(tokens_.CreateFirstAdmin(lose)));
  ASSERT_OK_AND_ASSIGN(const auth::v1::ListTokensResponse none, tokens_.List());
  EXPECT_EQ(none.tokens_size(), 0);
}

TEST_F(TokenStoreTest, LoggingOutEndsTheToken) {
  std::string secret;
  ASSERT_OK(tokens_.CreateFirstAdmin([&secret](const std::string& made) {
    secret = made;
    return absl::OkStatus();
  }));
  ASSERT_OK(tokens_.RevokeSecret(secret));
  EXPECT_TRUE(absl::IsUnauthenticated(tokens_.Authenticate(secret).status()));
}

}  // namespace
}  // namespace oneai

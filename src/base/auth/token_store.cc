#include "base/auth/token_store.h"

#include <google/protobuf/util/time_util.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "base/ids.h"
#include "base/status.h"

namespace oneai {
namespace {

using auth::v1::CreateTokenRequest;
using auth::v1::TokenRecord;
using common::v1::Principal;

constexpr absl::string_view kPrefix = "auth/tokens/";
constexpr absl::Duration kLifetimeDefault = absl::Hours(24 * 90);
constexpr absl::Duration kLifetimeMax = absl::Hours(24 * 366);
constexpr size_t kNameBytesMax = 128;

// One message for every cause: a guesser must not learn that a token once was good.
absl::Status BadToken() {
  return absl::UnauthenticatedError("the token is not valid; ask an admin for a new one");
}

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  return google::protobuf::util::TimeUtil::MillisecondsToTimestamp(absl::ToUnixMillis(time));
}

absl::Time FromTimestamp(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixMillis(google::protobuf::util::TimeUtil::TimestampToMilliseconds(timestamp));
}

absl::Status Validate(const CreateTokenRequest& request) {
  if (request.name().empty()) return absl::InvalidArgumentError("a token needs a name");
  if (request.name().size() > kNameBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a token's name has at most ", kNameBytesMax, " bytes"));
  }
  if (request.kind() != Principal::USER && request.kind() != Principal::SERVICE) {
    return absl::InvalidArgumentError("a token is for a USER or a SERVICE; set `kind`");
  }
  if (request.bindings().empty()) {
    return absl::InvalidArgumentError("a token needs at least one role");
  }
  for (const auth::v1::RoleBinding& binding : request.bindings()) {
    if (binding.role() == auth::v1::ROLE_UNSPECIFIED || !auth::v1::Role_IsValid(binding.role())) {
      return absl::InvalidArgumentError(absl::StrCat("unknown role ", binding.role()));
    }
    if (binding.business_unit().empty()) {
      return absl::InvalidArgumentError(
          "a role needs a business unit; \"*\" stands for every unit");
    }
  }
  const absl::Duration lifetime = absl::Seconds(request.lifetime_seconds());
  if (lifetime < absl::ZeroDuration() || lifetime > kLifetimeMax) {
    return absl::InvalidArgumentError("a token lives at most a year; 0 means 90 days");
  }
  return absl::OkStatus();
}

absl::StatusOr<TokenRecord> ParseRecord(const KeyValue& item) {
  TokenRecord record;
  if (record.ParseFromString(item.value)) return record;
  return absl::DataLossError(absl::StrCat("stored token ", item.key, " cannot be read"));
}

}  // namespace

absl::StatusOr<auth::v1::CreateTokenResponse> TokenStore::Create(
    const CreateTokenRequest& request) {
  return Create(request, [](const std::string&) { return absl::OkStatus(); });
}

absl::StatusOr<auth::v1::CreateTokenResponse> TokenStore::Create(const CreateTokenRequest& request,
                                                                 const KeepSecret& keep) {
  RETURN_IF_ERROR(Validate(request));
  const absl::Time now = clock_->Now();
  const absl::Duration lifetime = request.lifetime_seconds() == 0
                                      ? kLifetimeDefault
                                      : absl::Seconds(request.lifetime_seconds());
  auth::v1::CreateTokenResponse response;
  response.set_id(NewId("token-"));
  response.set_secret(absl::StrCat("oneai_", NewSecret()));

  TokenRecord record;
  auth::v1::TokenInfo& info = *record.mutable_info();
  info.set_id(response.id());
  info.mutable_principal()->set_kind(request.kind());
  info.mutable_principal()->set_name(request.name());
  info.mutable_principal()->set_business_unit(request.business_unit());
  *info.mutable_bindings() = request.bindings();
  *info.mutable_created() = ToTimestamp(now);
  *info.mutable_expires() = ToTimestamp(now + lifetime);

  Transaction transaction;
  const std::string key = absl::StrCat(kPrefix, Sha256Hex(response.secret()));
  transaction.If(key, 0).Put(key, record.SerializeAsString());
  RETURN_IF_ERROR(DropExpired(now, transaction));
  RETURN_IF_ERROR(keep(response.secret()));
  RETURN_IF_ERROR(store_->Commit(transaction).status());
  return response;
}

// Dashboard sessions are tokens: without this their records would pile up.
absl::Status TokenStore::DropExpired(absl::Time now, Transaction& transaction) const {
  ASSIGN_OR_RETURN(const RangeResult range, store_->List(kPrefix));
  for (const KeyValue& item : range.items) {
    ASSIGN_OR_RETURN(const TokenRecord record, ParseRecord(item));
    if (FromTimestamp(record.info().expires()) <= now) transaction.Delete(item.key);
  }
  return absl::OkStatus();
}

absl::StatusOr<Identity> TokenStore::Authenticate(absl::string_view secret) const {
  // The secret has 256 random bits and is looked up by its hash, so no comparison leaks it by its
  // timing.
  const absl::StatusOr<KeyValue> item = store_->Get(absl::StrCat(kPrefix, Sha256Hex(secret)));
  if (absl::IsNotFound(item.status())) return BadToken();
  RETURN_IF_ERROR(item.status());
  ASSIGN_OR_RETURN(const TokenRecord record, ParseRecord(*item));
  if (FromTimestamp(record.info().expires()) <= clock_->Now()) return BadToken();
  Identity identity;
  identity.principal = record.info().principal();
  identity.bindings.assign(record.info().bindings().begin(), record.info().bindings().end());
  return identity;
}

absl::StatusOr<auth::v1::ListTokensResponse> TokenStore::List() const {
  ASSIGN_OR_RETURN(const RangeResult range, store_->List(kPrefix));
  auth::v1::ListTokensResponse response;
  for (const KeyValue& item : range.items) {
    ASSIGN_OR_RETURN(TokenRecord record, ParseRecord(item));
    *response.add_tokens() = std::move(*record.mutable_info());
  }
  return response;
}

absl::Status TokenStore::Revoke(absl::string_view id) {
  ASSIGN_OR_RETURN(const RangeResult range, store_->List(kPrefix));
  for (const KeyValue& item : range.items) {
    ASSIGN_OR_RETURN(const TokenRecord record, ParseRecord(item));
    if (record.info().id() != id) continue;
    Transaction transaction;
    transaction.Delete(item.key);
    return store_->Commit(transaction).status();
  }
  return absl::NotFoundError(absl::StrCat("no token \"", id, "\""));
}

absl::Status TokenStore::RevokeSecret(absl::string_view secret) {
  Transaction transaction;
  transaction.Delete(absl::StrCat(kPrefix, Sha256Hex(secret)));
  return store_->Commit(transaction).status();
}

absl::Status TokenStore::CreateFirstAdmin(const KeepSecret& keep) {
  ASSIGN_OR_RETURN(const RangeResult existing, store_->List(kPrefix, 1));
  if (!existing.items.empty()) return absl::OkStatus();
  CreateTokenRequest request;
  request.set_name("admin");
  request.set_kind(Principal::USER);
  request.set_lifetime_seconds(absl::ToInt64Seconds(absl::Hours(24 * 365)));
  auth::v1::RoleBinding& binding = *request.add_bindings();
  binding.set_role(auth::v1::ADMIN);
  binding.set_business_unit("*");
  return Create(request, keep).status();
}

}  // namespace oneai

#include "base/grpc/authenticator.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace oneai {
namespace {

using common::v1::Principal;

constexpr absl::string_view kUriPrefix = "spiffe://oneai/";
constexpr absl::string_view kBearer = "Bearer ";

// The token of `authorization: Bearer <token>`, or empty. Two such headers are refused: which one
// would count?
absl::StatusOr<std::string> BearerToken(const grpc::ServerContextBase& context) {
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  if (begin == end) return std::string();
  if (std::next(begin) != end) {
    return absl::UnauthenticatedError("more than one authorization header; send one");
  }
  const absl::string_view value(begin->second.data(), begin->second.size());
  if (!absl::StartsWithIgnoreCase(value, kBearer)) {
    return absl::UnauthenticatedError("authorization must be: Bearer <token>");
  }
  return std::string(absl::StripAsciiWhitespace(value.substr(kBearer.size())));
}

Identity CertificateIdentity(Principal::Kind kind, const std::string& name) {
  Identity identity;
  identity.principal.set_kind(kind);
  identity.principal.set_name(name);
  return identity;
}

}  // namespace

absl::StatusOr<PeerName> PeerNameOf(const grpc::ServerContextBase& context) {
  const auto auth = context.auth_context();
  if (auth != nullptr && auth->IsPeerAuthenticated()) {
    for (const grpc::string_ref& value : auth->FindPropertyValues(GRPC_X509_SAN_PROPERTY_NAME)) {
      absl::string_view uri(value.data(), value.size());
      if (!absl::ConsumePrefix(&uri, kUriPrefix)) continue;
      const std::pair<absl::string_view, absl::string_view> parts =
          absl::StrSplit(uri, absl::MaxSplits('/', 1));
      if (parts.first.empty() || parts.second.empty()) continue;
      return PeerName{std::string(parts.first), std::string(parts.second)};
    }
  }
  return absl::UnauthenticatedError(
      absl::StrCat("the client certificate carries no ", kUriPrefix, "<kind>/<name> identity"));
}

absl::StatusOr<Identity> Authenticator::Authenticate(const grpc::ServerContextBase& context) const {
  if (may_serve_ != nullptr) RETURN_IF_ERROR(may_serve_());
  ASSIGN_OR_RETURN(const PeerName peer, PeerNameOf(context));
  if (peer.kind == "node") return CertificateIdentity(Principal::NODE, peer.name);
  if (peer.kind == "pool")
    return CertificateIdentity(Principal::NODE, absl::StrCat(peer.name, ".*"));
  if (peer.kind == "component") return CertificateIdentity(Principal::COMPONENT, peer.name);
  // There may be several of each; what they may do does not depend on which.
  if (peer.kind == "controller" || peer.kind == "gateway") {
    return CertificateIdentity(Principal::COMPONENT, peer.kind);
  }
  if (peer.kind == "job") {
    if (resolve_job_ == nullptr) {
      return absl::UnauthenticatedError("this server takes no calls from jobs");
    }
    absl::StatusOr<Identity> identity = resolve_job_(peer.name);
    if (absl::IsNotFound(identity.status())) {
      return absl::UnauthenticatedError(absl::StrCat("certificate of unknown job ", peer.name));
    }
    return identity;
  }
  if (peer.kind != "user") {
    return absl::UnauthenticatedError(
        absl::StrCat("certificate of unknown kind \"", peer.kind, "\""));
  }
  ASSIGN_OR_RETURN(const std::string token, BearerToken(context));
  if (token.empty() || tokens_ == nullptr) {
    return absl::UnauthenticatedError(
        "a token is needed: send `authorization: Bearer <token>` (oneai: --token-file)");
  }
  return tokens_->Authenticate(token);
}

}  // namespace oneai

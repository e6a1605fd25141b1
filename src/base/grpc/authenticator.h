// File: base/grpc/authenticator.h
//
// Who is calling: the verified client certificate says which component, node or job; for people and
// services a bearer token in the metadata (`authorization: Bearer ...`) says who. Components:
// spiffe://oneai/{controller,gateway,component}/...; nodes: spiffe://oneai/node/<name>; pools of
// nodes: spiffe://oneai/pool/<name>; jobs:
// spiffe://oneai/job/<id>. A certificate of kind `user` carries no rights without a token. As
// principal a controller is named "controller" and a gateway "gateway", whatever its instance.
#pragma once

#include <grpcpp/server_context.h>

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "base/auth/access.h"
#include "base/auth/token_store.h"

namespace oneai {

// Returns the identity that a job acts with (its owner's, kind JOB, on_behalf_of set). NotFound: no
// such job.
using JobIdentityResolver = std::function<absl::StatusOr<Identity>(const std::string& job_id)>;

// May this process answer at all? Not OK: the answer to every call.
using ServingCheck = std::function<absl::Status()>;

// Thread-safe. `tokens` must outlive it; null: this server takes no tokens. Without `resolve_job`
// it takes no jobs; without `may_serve` it always serves.
class Authenticator {
 public:
  Authenticator(const TokenStore* tokens, JobIdentityResolver resolve_job,
                ServingCheck may_serve = nullptr)
      : tokens_(tokens), resolve_job_(std::move(resolve_job)), may_serve_(std::move(may_serve)) {}

  // Unauthenticated: no token where one is needed, or a bad one. Certificates of nodes, jobs and
  // components need no token.
  absl::StatusOr<Identity> Authenticate(const grpc::ServerContextBase& context) const;

 private:
  const TokenStore* const tokens_;
  const JobIdentityResolver resolve_job_;
  const ServingCheck may_serve_;
};

// {"kind", "name"} of the URI SAN of the peer's verified certificate; Unauthenticated when there is
// none of ours.
struct PeerName {
  std::string kind;
  std::string name;
};
absl::StatusOr<PeerName> PeerNameOf(const grpc::ServerContextBase& context);

}  // namespace oneai

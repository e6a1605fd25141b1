// File: base/grpc/channel.h
//
// Client side: a channel with the fabric's credentials, and a context with deadline and token.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "base/auth/pki.h"

namespace oneai {

// mTLS channel. Does not connect yet. Retries UNAVAILABLE on unary calls (4 attempts, 0.1-1 s,
// jittered).
std::shared_ptr<grpc::Channel> NewChannel(const std::string& address, const TlsCredentials& tls);

// Gives `context` a deadline and, when `token` is not empty, `authorization: Bearer <token>`.
void PrepareContext(grpc::ClientContext& context, absl::Duration timeout,
                    const std::string& token = "");

}  // namespace oneai

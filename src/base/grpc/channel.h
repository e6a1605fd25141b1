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

// The name in the certificate of every controller of a replicated control plane.
inline constexpr char kControllerName[] = "controller.oneai";

// mTLS channel. Does not connect yet. Retries UNAVAILABLE on unary calls (4 attempts, 0.1-1 s,
// jittered).
//
// `address` is host:port, or several of them with commas: the controllers of one fabric, of which
// only the leader listens. The channel keeps to the one that it has reached, and goes over to
// another when that one ends or falls silent (within some 4 s, which the calls' retries outlast).
// Each must present a certificate for kControllerName. Host names in such a list are looked up
// once, here.
std::shared_ptr<grpc::Channel> NewChannel(const std::string& address, const TlsCredentials& tls);

// Gives `context` a deadline and, when `token` is not empty, `authorization: Bearer <token>`.
void PrepareContext(grpc::ClientContext& context, absl::Duration timeout,
                    const std::string& token = "");

}  // namespace oneai

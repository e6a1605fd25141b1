#include "base/grpc/channel.h"

#include <arpa/inet.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <netdb.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace oneai {
namespace {

// Source: gRFC A6 (client retries). The empty name matches every method; gRPC adds the jitter.
constexpr char kServiceConfig[] = R"json({"methodConfig": [{"name": [{}], "retryPolicy": {
  "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 3,
  "retryableStatusCodes": ["UNAVAILABLE"]}}]})json";

// Five attempts are gRPC's most: within 4 s, close together where an election ends, after 2 to 3 s.
constexpr char kReplicatedServiceConfig[] = R"json({"methodConfig": [{"name": [{}], "retryPolicy": {
  "maxAttempts": 5, "initialBackoff": "0.8s", "maxBackoff": "2s", "backoffMultiplier": 1.15,
  "retryableStatusCodes": ["UNAVAILABLE"]}}]})json";

constexpr int kMessageBytesMax = 16 << 20;

// The numeric address of `host`; empty when it has none. IPv4 addresses as such.
std::string Resolve(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0 || found == nullptr) return "";
  char text[INET6_ADDRSTRLEN] = "";
  if (found->ai_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(found->ai_addr)->sin_addr, text,
              sizeof(text));
  } else if (found->ai_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6*>(found->ai_addr)->sin6_addr, text,
              sizeof(text));
  }
  freeaddrinfo(found);
  return text;
}

// gRPC takes several addresses only as numbers of one family: ipv4:a:1,b:2 or ipv6:[a]:1,[b]:2.
std::string ReplicatedTarget(const std::string& addresses) {
  std::vector<std::pair<std::string, std::string>> resolved;  // numeric host, port
  bool any_ipv6 = false;
  for (const absl::string_view address : absl::StrSplit(addresses, ',', absl::SkipEmpty())) {
    const size_t colon = address.rfind(':');
    if (colon == absl::string_view::npos) continue;
    absl::string_view host = address.substr(0, colon);
    if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]"))
      host = host.substr(1, host.size() - 2);
    const std::string number = Resolve(std::string(host));
    if (number.empty()) continue;
    any_ipv6 |= absl::StrContains(number, ':');
    resolved.emplace_back(number, address.substr(colon + 1));
  }
  const std::string joined =
      absl::StrJoin(resolved, ",", [any_ipv6](std::string* out, const auto& one) {
        const auto& [host, port] = one;
        if (!any_ipv6) return absl::StrAppend(out, host, ":", port);
        const bool is_ipv4 = !absl::StrContains(host, ':');
        absl::StrAppend(out, "[", is_ipv4 ? "::ffff:" : "", host, "]:", port);
      });
  return absl::StrCat(any_ipv6 ? "ipv6:" : "ipv4:", joined);
}

}  // namespace

std::shared_ptr<grpc::Channel> NewChannel(const std::string& address, const TlsCredentials& tls) {
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = tls.ca_pem;
  ssl.pem_cert_chain = tls.certificate_pem;
  ssl.pem_private_key = tls.private_key_pem;

  const bool is_replicated = absl::StrContains(address, ',');
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(is_replicated ? kReplicatedServiceConfig : kServiceConfig);
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  // A peer that restarts is found again within two seconds.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, is_replicated ? 500 : 2000);
  // A peer that vanished without a word is noticed within 30 seconds, or 3 when another is there
  // to take over.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, is_replicated ? 1000 : 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, is_replicated ? 2000 : 10'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // The fabric's own traffic never goes through a proxy of the environment.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (is_replicated) arguments.SetSslTargetNameOverride(kControllerName);
  return grpc::CreateCustomChannel(is_replicated ? ReplicatedTarget(address) : address,
                                   grpc::SslCredentials(ssl), arguments);
}

void PrepareContext(grpc::ClientContext& context, absl::Duration timeout,
                    const std::string& token) {
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  if (!token.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
}

}  // namespace oneai

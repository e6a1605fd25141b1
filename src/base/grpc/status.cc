#include "base/grpc/status.h"

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace oneai {
namespace {

constexpr char kTypePrefix[] = "type.googleapis.com/";
constexpr char kRetryInfoType[] = "type.googleapis.com/google.rpc.RetryInfo";
constexpr size_t kDetailBytesMax = 8192;  // gRPC's usual bound on metadata

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  google::rpc::Status details;
  status.ForEachPayload([&details](absl::string_view type_url, const absl::Cord& payload) {
    if (!absl::StartsWith(type_url, kTypePrefix)) return;
    google::protobuf::Any* detail = details.add_details();
    detail->set_type_url(std::string(type_url));
    detail->set_value(std::string(payload));
  });
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string message(status.message());
  if (details.details_size() == 0) return grpc::Status(code, message);
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  return grpc::Status(code, message, details.SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  absl::Status converted(static_cast<absl::StatusCode>(status.error_code()),
                         status.error_message());
  const std::string bytes = status.error_details();
  google::rpc::Status details;
  if (bytes.empty() || bytes.size() > kDetailBytesMax || !details.ParseFromString(bytes)) {
    return converted;
  }
  for (const google::protobuf::Any& detail : details.details()) {
    if (absl::StartsWith(detail.type_url(), kTypePrefix))
      converted.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
  return converted;
}

void SetRetryDelay(absl::Status& status, absl::Duration delay) {
  const int64_t milliseconds = absl::ToInt64Milliseconds(
      absl::Ceil(std::max(delay, absl::ZeroDuration()), absl::Milliseconds(1)));
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(milliseconds / 1000);
  info.mutable_retry_delay()->set_nanos(static_cast<int32_t>(milliseconds % 1000 * 1'000'000));
  status.SetPayload(kRetryInfoType, absl::Cord(info.SerializeAsString()));
}

std::optional<absl::Duration> RetryDelayOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryInfoType);
  google::rpc::RetryInfo info;
  if (!payload.has_value() || !info.ParseFromString(std::string(*payload))) return std::nullopt;
  const absl::Duration delay =
      absl::Seconds(info.retry_delay().seconds()) + absl::Nanoseconds(info.retry_delay().nanos());
  if (delay < absl::ZeroDuration()) return std::nullopt;
  return delay;
}

}  // namespace oneai

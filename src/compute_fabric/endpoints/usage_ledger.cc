#include "compute_fabric/endpoints/usage_ledger.h"

#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compute_fabric/jobs/job_spec.h"

namespace oneai::fabric {
namespace {

constexpr int kDeltasMax = 10'000;
constexpr int kTriesMax = 16;

absl::Status Validate(const v1::ReportUsageRequest& request) {
  RETURN_IF_ERROR(ValidateName("gateway", request.gateway()));
  if (request.sequence() < 0 || (request.sequence() == 0 && request.deltas_size() > 0))
    return absl::InvalidArgumentError("sequence: must be at least 1 with deltas, 0 without");
  if (request.deltas_size() > kDeltasMax) {
    return absl::InvalidArgumentError(absl::StrCat("deltas: at most ", kDeltasMax, " in a report"));
  }
  for (const v1::UsageRecord& delta : request.deltas()) {
    RETURN_IF_ERROR(ValidateName("deltas.business_unit", delta.business_unit()));
    RETURN_IF_ERROR(ValidateName("deltas.model", delta.model()));
    for (int64_t count :
         {delta.requests(), delta.prompt_tokens(), delta.completion_tokens(), delta.errors()}) {
      if (count < 0 || count > (int64_t{1} << 50))
        return absl::InvalidArgumentError("deltas: counts must be at least 0");
    }
  }
  return absl::OkStatus();
}

void Add(const v1::UsageRecord& delta, v1::UsageRecord& total) {
  total.set_business_unit(delta.business_unit());
  total.set_model(delta.model());
  total.set_requests(total.requests() + delta.requests());
  total.set_prompt_tokens(total.prompt_tokens() + delta.prompt_tokens());
  total.set_completion_tokens(total.completion_tokens() + delta.completion_tokens());
  total.set_errors(total.errors() + delta.errors());
}

}  // namespace

absl::StatusOr<v1::ReportUsageResponse> UsageLedger::Report(const v1::ReportUsageRequest& request) {
  RETURN_IF_ERROR(Validate(request));
  if (request.sequence() == 0) return v1::ReportUsageResponse();  // loads only
  absl::StatusOr<v1::ReportUsageResponse> response = TryReport(request);
  // Gateways that report at once touch the same totals.
  for (int i = 0; i < kTriesMax && absl::IsAborted(response.status()); ++i)
    response = TryReport(request);
  return response;
}

absl::StatusOr<v1::ReportUsageResponse> UsageLedger::TryReport(
    const v1::ReportUsageRequest& request) {
  Transaction transaction;
  const std::string sequence_key = absl::StrCat("usage_sequence/", request.gateway());
  const absl::StatusOr<KeyValue> last = state_->store().Get(sequence_key);
  if (!last.ok() && !absl::IsNotFound(last.status())) return last.status();
  int64_t last_sequence = 0;
  if (last.ok() && !absl::SimpleAtoi(last->value, &last_sequence)) {
    return absl::DataLossError(absl::StrCat("store key ", sequence_key, " does not hold a number"));
  }
  v1::ReportUsageResponse response;
  response.set_last_sequence(std::max(last_sequence, request.sequence()));
  if (request.sequence() <= last_sequence) return response;
  transaction.If(sequence_key, last.ok() ? last->mod_revision : 0)
      .Put(sequence_key, absl::StrCat(request.sequence()));

  std::map<std::string, v1::UsageRecord> totals;
  for (const v1::UsageRecord& delta : request.deltas()) {
    const std::string key = absl::StrCat("usage/", delta.business_unit(), "/", delta.model());
    auto [total, inserted] = totals.try_emplace(key);
    if (inserted) {
      const absl::StatusOr<KeyValue> stored = state_->store().Get(key);
      if (!stored.ok() && !absl::IsNotFound(stored.status())) return stored.status();
      if (stored.ok() && !total->second.ParseFromString(stored->value)) {
        return absl::DataLossError(
            absl::StrCat("store key ", key, " does not hold a usage record"));
      }
      transaction.If(key, stored.ok() ? stored->mod_revision : 0);
    }
    Add(delta, total->second);
  }
  for (const auto& [key, total] : totals) transaction.Put(key, total.SerializeAsString());
  RETURN_IF_ERROR(state_->Commit(std::move(transaction)).status());
  return response;
}

absl::StatusOr<v1::GetUsageResponse> UsageLedger::Get(const Identity& caller) const {
  ASSIGN_OR_RETURN(const RangeResult range, state_->store().List("usage/"));
  v1::GetUsageResponse response;
  for (const KeyValue& item : range.items) {
    v1::UsageRecord record;
    if (!record.ParseFromString(item.value)) {
      return absl::DataLossError(
          absl::StrCat("store key ", item.key, " does not hold a usage record"));
    }
    if (CheckPermission(caller, Permission::kViewFabric, record.business_unit()).ok())
      *response.add_records() = record;
  }
  return response;
}

}  // namespace oneai::fabric

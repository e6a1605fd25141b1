#include "compute_fabric/controller/fabric_usage.h"

#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

constexpr char kTotalsPrefix[] = "fabric_usage/";

std::string KeyPart(absl::string_view text) {
  return absl::StrReplaceAll(text.substr(0, 200), {{"%", "%25"}, {"/", "%2F"}});
}

std::string KeyOf(const v1::FabricUsage& usage) {
  return absl::StrCat(kTotalsPrefix, usage.day(), "/", KeyPart(usage.project()), "/",
                      KeyPart(usage.user()), "/", KeyPart(usage.resource()));
}

v1::FabricUsage MakeRecord(const v1::Job& job, const v1::JobUsage& usage) {
  v1::FabricUsage record;
  record.set_business_unit(std::string(BusinessUnitOf(job.spec().project())));
  record.set_project(job.spec().project());
  record.set_user(job.owner().name());
  record.set_resource(usage.resource());
  record.set_day(usage.day());
  record.set_seconds(usage.seconds());
  record.set_cost(usage.cost());
  return record;
}

void AddTo(v1::FabricUsage& sum, const v1::FabricUsage& record) {
  const double seconds = sum.seconds() + record.seconds();
  const double cost = sum.cost() + record.cost();
  const int64_t jobs = sum.jobs() + record.jobs();
  const std::string day = sum.day();
  if (sum.project().empty()) {
    sum = record;
  } else {
    sum.set_day(day);
  }
  sum.set_seconds(seconds);
  sum.set_cost(cost);
  sum.set_jobs(jobs);
}

// Sums by what the request asks for.
class Sums {
 public:
  Sums(const v1::GetFabricUsageRequest& request, const Identity& caller)
      : request_(request), caller_(caller) {
    const absl::TimeZone utc = absl::UTCTimeZone();
    if (request.has_from())
      from_ = absl::FormatCivilTime(absl::ToCivilDay(GetTime(request.from()), utc));
    if (request.has_to()) to_ = absl::FormatCivilTime(absl::ToCivilDay(GetTime(request.to()), utc));
  }

  bool Wants(const std::string& project) {
    const std::string unit(BusinessUnitOf(project));
    if (!request_.business_unit().empty() && unit != request_.business_unit()) return false;
    const auto [seen, inserted] = may_see_.try_emplace(unit);
    if (inserted) seen->second = CheckPermission(caller_, Permission::kViewFabric, unit).ok();
    return seen->second;
  }
  // Days are written so that text order is time order.
  bool WantsDay(const std::string& day) const {
    return (from_.empty() || day >= from_) && (to_.empty() || day <= to_);
  }
  void Add(v1::FabricUsage record) {
    if (!request_.by_day()) record.clear_day();
    AddTo(sums_[{record.project(), record.user(), record.resource(), record.day()}], record);
  }
  void AddJob(const v1::Job& job, absl::Time now, const PricePerHour& prices) {
    google::protobuf::RepeatedPtrField<v1::JobUsage> usage = job.usage();
    for (const v1::Task& task : job.tasks()) {
      if (!IsActive(task.state())) continue;
      for (const v1::JobUsage& running : UsageOf(job.spec(), task, now, prices))
        AddUsage(usage, running);
    }
    std::map<std::string, bool> counted;  // by resource (and day): a job counts once
    for (const v1::JobUsage& one : usage) {
      if (!WantsDay(one.day())) continue;
      v1::FabricUsage record = MakeRecord(job, one);
      const std::string where = absl::StrCat(one.resource(), request_.by_day() ? one.day() : "");
      record.set_jobs(counted.emplace(where, true).second ? 1 : 0);
      Add(std::move(record));
    }
  }
  v1::GetFabricUsageResponse Take() {
    v1::GetFabricUsageResponse response;
    for (auto& [key, record] : sums_) *response.add_records() = std::move(record);
    return response;
  }

 private:
  const v1::GetFabricUsageRequest& request_;
  const Identity& caller_;
  std::string from_;
  std::string to_;
  std::map<std::string, bool> may_see_;  // by unit
  std::map<std::tuple<std::string, std::string, std::string, std::string>, v1::FabricUsage> sums_;
};

absl::StatusOr<v1::FabricUsage> ParseTotal(const KeyValue& item) {
  v1::FabricUsage total;
  if (!total.ParseFromString(item.value))
    return absl::DataLossError(absl::StrCat("store key ", item.key, " does not hold usage"));
  return total;
}

}  // namespace

absl::StatusOr<v1::GetFabricUsageResponse> GetFabricUsage(const FabricState& state,
                                                          const v1::GetFabricUsageRequest& request,
                                                          const Identity& caller) {
  if (request.has_from() && request.has_to() && GetTime(request.to()) < GetTime(request.from()))
    return absl::InvalidArgumentError(
        "to: is before from; the nearest valid value is the same day");
  Sums sums(request, caller);
  ASSIGN_OR_RETURN(const RangeResult totals, state.store().List(kTotalsPrefix));
  for (const KeyValue& item : totals.items) {
    ASSIGN_OR_RETURN(v1::FabricUsage total, ParseTotal(item));
    if (sums.Wants(total.project()) && sums.WantsDay(total.day())) sums.Add(std::move(total));
  }
  for (const JobRecord& job : state.jobs().All()) {
    if (sums.Wants(job.value->spec().project()))
      sums.AddJob(*job.value, state.Now(), state.prices());
  }
  return sums.Take();
}

absl::Status MoveUsageToTotals(FabricState& state, const std::vector<JobRecord>& jobs,
                               Transaction& transaction) {
  std::map<std::string, v1::FabricUsage> totals;
  for (const JobRecord& job : jobs) {
    for (const v1::JobUsage& usage : job.value->usage()) {
      v1::FabricUsage record = MakeRecord(*job.value, usage);
      record.set_jobs(1);
      AddTo(totals[KeyOf(record)], record);
    }
  }
  for (auto& [key, total] : totals) {
    const absl::StatusOr<KeyValue> known = state.store().Get(key);
    if (!known.ok() && !absl::IsNotFound(known.status())) return known.status();
    if (known.ok()) {
      ASSIGN_OR_RETURN(const v1::FabricUsage before, ParseTotal(*known));
      AddTo(total, before);
    }
    transaction.If(key, known.ok() ? known->mod_revision : 0).Put(key, total.SerializeAsString());
  }
  return absl::OkStatus();
}

}  // namespace oneai::fabric

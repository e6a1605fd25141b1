// What a job may ask of its place: size, topology, nodes, how it gives way, whom it waits for.
#include <array>
#include <csignal>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/config/reader.h"
#include "base/status.h"
#include "compute_fabric/jobs/field_checks.h"
#include "compute_fabric/jobs/job_spec.h"

namespace oneai::fabric {
namespace {

constexpr int64_t kWarningMsMax = 24 * 3'600'000;
constexpr int kSignalMax = 64;

struct PriorityClass {
  const char* name;
  int priority;
};
constexpr std::array<PriorityClass, 5> kPriorityClasses = {
    {{"frontier", 1000}, {"high", 100}, {"normal", 0}, {"low", -100}, {"idle", -1000}}};
constexpr int kFrontier = 1000;

std::vector<std::string> ClassNames() {
  std::vector<std::string> names;
  for (const PriorityClass& one : kPriorityClasses) names.push_back(one.name);
  return names;
}

absl::Status ValidateSize(const v1::JobSpec& spec) {
  if (spec.num_tasks_min() == 0) return absl::OkStatus();
  RETURN_IF_ERROR(InRange("num_tasks_min", spec.num_tasks_min(), 0, spec.num_tasks()));
  if (!spec.gang() && spec.num_tasks_min() != spec.num_tasks()) {
    return Wrong("num_tasks_min",
                 absl::StrCat(spec.num_tasks_min(),
                              " is for gangs; independent tasks take what they can get anyway; "
                              "the nearest valid value is 0"));
  }
  return absl::OkStatus();
}

absl::Status ValidateTopology(const v1::JobSpec& spec) {
  const v1::TopologyWish& wish = spec.topology();
  if (!v1::TopologyLevel_IsValid(wish.level()))
    return Wrong("topology.level", "is unknown; use NVLINK, HOST, RACK or ZONE");
  if (wish.required() && wish.level() == v1::TOPOLOGY_LEVEL_UNSPECIFIED)
    return Wrong("topology.level", "is empty but required; use NVLINK, HOST, RACK or ZONE");
  if (wish.level() == v1::NVLINK && spec.resources().devices().empty()) {
    return Wrong("topology.level",
                 "NVLINK joins devices and the job asks for none; the nearest valid value is HOST");
  }
  const bool apart = spec.spread() == v1::NODE && spec.gang() && spec.num_tasks() > 1;
  if (apart && wish.required() && wish.level() == v1::HOST) {
    return Wrong("topology.level",
                 "HOST required and spread NODE contradict each other; the nearest valid value is "
                 "RACK, or spread PACK");
  }
  return absl::OkStatus();
}

absl::Status ValidateSelector(const v1::JobSpec& spec) {
  RETURN_IF_ERROR(InRange("node_selector", spec.node_selector_size(), 0, 32));
  for (const auto& [name, value] : spec.node_selector()) {
    RETURN_IF_ERROR(ValidateName("node_selector", name));
    if (value.size() > 256 || value.find('\0') != std::string::npos)
      return Wrong(absl::StrCat("node_selector.", name), "at most 256 characters without NUL");
  }
  return absl::OkStatus();
}

absl::Status ValidatePreemption(const v1::JobSpec& spec) {
  const v1::PreemptionPolicy& policy = spec.preemption();
  if (!v1::Preemptible_IsValid(policy.preemptible()))
    return Wrong("preemption.preemptible", "is unknown; use PREEMPTIBLE or NOT_PREEMPTIBLE");
  RETURN_IF_ERROR(InRange("preemption.warning_signal", policy.warning_signal(), 0, kSignalMax));
  if (policy.warning_signal() == SIGKILL || policy.warning_signal() == SIGSTOP) {
    return Wrong(
        "preemption.warning_signal",
        absl::StrCat(policy.warning_signal(), " cannot be caught; the nearest valid value is ",
                     SIGUSR1, " (SIGUSR1)"));
  }
  RETURN_IF_ERROR(InRange("preemption.warning_ms", policy.warning_ms(), 0, kWarningMsMax));
  if (policy.warning_ms() > 0 && policy.warning_signal() == 0) {
    return Wrong("preemption.warning_signal",
                 absl::StrCat("is not set but warning_ms is; the nearest valid value is ", SIGUSR1,
                              " (SIGUSR1)"));
  }
  if (policy.warning_signal() > 0 && policy.warning_ms() == 0) {
    return Wrong("preemption.warning_ms",
                 "is not set but warning_signal is; the nearest valid value is 30000");
  }
  return absl::OkStatus();
}

absl::Status ValidatePriorityClass(const v1::JobSpec& spec) {
  if (spec.priority_class().empty()) return absl::OkStatus();
  const std::optional<int> priority = PriorityOfClass(spec.priority_class());
  if (!priority) {
    const std::optional<std::string> nearest = NearestWord(spec.priority_class(), ClassNames());
    return Wrong("priority_class",
                 absl::StrCat(Shown(spec.priority_class()), " is not one of ",
                              absl::StrJoin(ClassNames(), ", "), "; the nearest valid value is ",
                              nearest.value_or("normal")));
  }
  if (spec.priority() != 0 && spec.priority() != *priority) {
    return Wrong("priority",
                 absl::StrCat(spec.priority(), " contradicts priority_class ",
                              spec.priority_class(), "; the nearest valid value is ", *priority));
  }
  return absl::OkStatus();
}

absl::Status ValidateDependencies(const v1::JobSpec& spec) {
  RETURN_IF_ERROR(InRange("depends_on", spec.depends_on_size(), 0, 64));
  std::set<std::string> seen;
  for (int i = 0; i < spec.depends_on_size(); ++i) {
    const v1::Dependency& dependency = spec.depends_on(i);
    const std::string field = absl::StrCat("depends_on[", i, "]");
    if (!absl::StartsWith(dependency.job_id(), "job-") &&
        !absl::StartsWith(dependency.job_id(), "array-")) {
      return Wrong(absl::StrCat(field, ".job_id"),
                   absl::StrCat(Shown(dependency.job_id()),
                                " is no id of a job or an array; `oneai job list` shows them"));
    }
    RETURN_IF_ERROR(ValidateName(absl::StrCat(field, ".job_id"), dependency.job_id()));
    if (!v1::DependencyCondition_IsValid(dependency.condition()))
      return Wrong(absl::StrCat(field, ".condition"), "is unknown; use AFTER_OK or AFTER_ANY");
    if (!seen.insert(dependency.job_id()).second)
      return Wrong(absl::StrCat(field, ".job_id"),
                   absl::StrCat(dependency.job_id(), " is named twice; name it once"));
  }
  return absl::OkStatus();
}

// Jobs stay within their unit's part of the tree.
absl::Status ValidateQueue(const v1::JobSpec& spec) {
  if (spec.queue().empty()) return absl::OkStatus();
  for (absl::string_view rest = spec.queue(); !rest.empty();) {
    const size_t slash = rest.find('/');
    RETURN_IF_ERROR(ValidateName("queue", rest.substr(0, slash)));
    if (slash != absl::string_view::npos && slash + 1 == rest.size())
      return Wrong("queue", absl::StrCat(Shown(spec.queue()),
                                         " ends with '/'; the nearest valid "
                                         "value is \"",
                                         spec.queue().substr(0, spec.queue().size() - 1), "\""));
    rest = slash == absl::string_view::npos ? "" : rest.substr(slash + 1);
  }
  if (BusinessUnitOf(spec.queue()) != BusinessUnitOf(spec.project())) {
    return Wrong("queue", absl::StrCat(Shown(spec.queue()), " is of another business unit than ",
                                       spec.project(), "; the nearest valid value is \"",
                                       spec.project(), "\""));
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<int> PriorityOfClass(absl::string_view name) {
  for (const PriorityClass& one : kPriorityClasses) {
    if (name == one.name) return one.priority;
  }
  return std::nullopt;
}

std::string DescribePriority(int priority) {
  for (const PriorityClass& one : kPriorityClasses) {
    if (priority == one.priority) return one.name;
  }
  return absl::StrCat(priority);
}

bool IsPreemptible(const v1::JobSpec& spec) {
  switch (spec.preemption().preemptible()) {
    case v1::PREEMPTIBLE:
      return true;
    case v1::NOT_PREEMPTIBLE:
      return false;
    default:
      return spec.priority() < kFrontier && !spec.long_running();
  }
}

const std::string& QueueOf(const v1::JobSpec& spec) {
  return spec.queue().empty() ? spec.project() : spec.queue();
}

absl::Status ValidatePlacement(const v1::JobSpec& spec) {
  RETURN_IF_ERROR(ValidateSize(spec));
  RETURN_IF_ERROR(ValidateTopology(spec));
  RETURN_IF_ERROR(ValidateSelector(spec));
  RETURN_IF_ERROR(ValidatePreemption(spec));
  RETURN_IF_ERROR(ValidatePriorityClass(spec));
  RETURN_IF_ERROR(ValidateDependencies(spec));
  if (!spec.reservation().empty()) RETURN_IF_ERROR(ValidateName("reservation", spec.reservation()));
  RETURN_IF_ERROR(InRange("disk_bytes", spec.disk_bytes(), 0, int64_t{1} << 50));
  RETURN_IF_ERROR(InRange("processes_max", spec.processes_max(), 0, 1 << 22));
  return ValidateQueue(spec);
}

}  // namespace oneai::fabric

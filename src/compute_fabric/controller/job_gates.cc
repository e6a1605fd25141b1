#include "compute_fabric/controller/job_gates.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"

namespace oneai::fabric {
namespace {

bool NeedsSuccess(const v1::Dependency& dependency) {
  return dependency.condition() != v1::AFTER_ANY;
}

// How what a job depends on has come along.
struct Progress {
  bool exists = false;
  bool ended = false;
  bool failed = false;  // ended otherwise than SUCCEEDED
  std::string in_words;
};

Progress ProgressOfArray(const FabricState& state, const std::string& id) {
  const ArrayProgress array = state.job_index().ProgressOf(id);
  const int num_failed = array.num_jobs - array.num_unfinished - array.num_succeeded;
  return {.exists = state.arrays().Find(id).value != nullptr,
          .ended = array.num_unfinished == 0,
          .failed = num_failed > 0,
          .in_words = num_failed > 0 ? absl::StrCat(num_failed, " of its ", array.num_jobs,
                                                    " jobs did not succeed")
                                     : absl::StrCat(array.num_unfinished, " of ", array.num_jobs,
                                                    " jobs have not ended")};
}

Progress ProgressOf(const FabricState& state, const std::string& id) {
  if (absl::StartsWith(id, "array-")) return ProgressOfArray(state, id);
  const JobRecord job = state.jobs().Find(id);
  if (job.value == nullptr) return {.in_words = "is gone"};
  return {.exists = true,
          .ended = IsFinished(job.value->state()),
          .failed = IsFinished(job.value->state()) && job.value->state() != v1::SUCCEEDED,
          .in_words = std::string(JobStateName(job.value->state()))};
}

void AddArrayGate(const FabricState& state, const v1::Job& job, std::vector<std::string>& gates) {
  if (job.array_id().empty()) return;
  const Record<v1::JobArray> array = state.arrays().Find(job.array_id());
  if (array.value == nullptr || !array.value->whole()) {
    gates.push_back(absl::StrCat("array ", job.array_id(), " is still being written"));
    return;
  }
  const int running_max = array.value->running_max();
  if (running_max == 0) return;
  const int num_holding = state.job_index().ProgressOf(job.array_id()).num_holding;
  const std::vector<std::string> next =
      state.job_index().WaitingOfArray(job.array_id(), std::max(running_max - num_holding, 0));
  if (std::find(next.begin(), next.end(), job.id()) != next.end()) return;
  gates.push_back(absl::StrCat("array ", job.array_id(), " runs ", num_holding, " of at most ",
                               running_max, " jobs at once; those of lower index go first"));
}

}  // namespace

std::vector<std::string> GatesOf(const FabricState& state, const v1::Job& job) {
  std::vector<std::string> gates;
  // Gates are for who comes; a job that is in (some of it, if it is no gang) goes on.
  const bool holds = std::any_of(job.tasks().begin(), job.tasks().end(),
                                 [](const v1::Task& task) { return IsActive(task.state()); });
  if (holds) return gates;
  for (const v1::Dependency& dependency : job.spec().depends_on()) {
    const Progress progress = ProgressOf(state, dependency.job_id());
    if (progress.ended && !(NeedsSuccess(dependency) && progress.failed)) continue;
    gates.push_back(absl::StrCat("waits for ", dependency.job_id(), " (",
                                 NeedsSuccess(dependency) ? "afterok" : "afterany",
                                 "): ", progress.in_words));
  }
  AddArrayGate(state, job, gates);
  return gates;
}

std::string NeverRunsBecause(const FabricState& state, const v1::Job& job) {
  for (const v1::Dependency& dependency : job.spec().depends_on()) {
    if (!NeedsSuccess(dependency)) continue;
    const Progress progress = ProgressOf(state, dependency.job_id());
    if (!progress.exists || progress.failed)
      return absl::StrCat("it should run only after ", dependency.job_id(),
                          " has succeeded, which ", progress.exists ? "it did not: " : "",
                          progress.in_words);
  }
  return "";
}

absl::Status CheckDependencies(const FabricState& state, const v1::JobSpec& spec,
                               absl::FunctionRef<bool(const std::string&)> may_see) {
  for (int i = 0; i < spec.depends_on_size(); ++i) {
    const v1::Dependency& dependency = spec.depends_on(i);
    const std::string& id = dependency.job_id();
    const std::string field = absl::StrCat("depends_on[", i, "]: ");
    const JobRecord job = state.jobs().Find(id);
    const Record<v1::JobArray> array = state.arrays().Find(id);
    const std::string* project = job.value != nullptr     ? &job.value->spec().project()
                                 : array.value != nullptr ? &array.value->project()
                                                          : nullptr;
    // What the caller may not see is not there for them.
    if (project == nullptr || !may_see(*project)) {
      return absl::InvalidArgumentError(absl::StrCat(
          field, "no job or array ", id,
          "; a job can only wait for one that was submitted before (`oneai job list`)"));
    }
    const Progress progress = ProgressOf(state, id);
    if (NeedsSuccess(dependency) && progress.failed) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, id, " ", progress.in_words,
                       ": afterok could never hold; the nearest valid value is afterany, or retry ",
                       id, " first"));
    }
  }
  return absl::OkStatus();
}

}  // namespace oneai::fabric

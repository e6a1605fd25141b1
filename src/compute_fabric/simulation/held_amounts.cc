#include "compute_fabric/simulation/held_amounts.h"

#include "absl/strings/str_cat.h"
#include "compute_fabric/jobs/job_state.h"

namespace oneai::fabric::simulation {

std::map<std::string, int> DevicesOf(const v1::Task& task) {
  std::map<std::string, int> devices;
  for (const std::string& id : task.device_ids()) devices[id] = kWholeDevice;
  for (const v1::DeviceGrant& grant : task.grants()) {
    if (grant.milli() > 0) devices[grant.id()] = grant.milli();
  }
  return devices;
}

std::map<std::string, int64_t> UseOf(const v1::Job& job) {
  std::map<std::string, int64_t> use;
  for (const v1::Task& task : job.tasks()) {
    if (!IsActive(task.state())) continue;
    use["cpu"] += job.spec().resources().cpu_milli();
    if (task.has_device()) {
      const int milli = task.device().milli() > 0 ? task.device().milli() : kWholeDevice;
      use[task.device().kind()] += int64_t{task.device().count()} * milli;
    }
  }
  return use;
}

std::string Describe(const v1::Job& job) {
  std::string text = absl::StrCat(job.id(), " (", job.spec().name(), ") ",
                                  JobStateName(job.state()), " attempt ", job.attempt());
  for (const v1::Task& task : job.tasks()) {
    absl::StrAppend(&text, " [", task.rank(), ".", task.attempt(), " ", TaskStateName(task.state()),
                    " on ", task.node(), "]");
  }
  for (const std::string& reason : job.reasons()) absl::StrAppend(&text, " \"", reason, "\"");
  return text;
}

}  // namespace oneai::fabric::simulation

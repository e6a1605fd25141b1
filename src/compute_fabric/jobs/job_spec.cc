#include "compute_fabric/jobs/job_spec.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/config/reader.h"
#include "base/status.h"
#include "compute_fabric/jobs/field_checks.h"

namespace oneai::fabric {
namespace {

constexpr int64_t kArgumentBytesMax = 32 << 10;
constexpr int64_t kCommandBytesMax = 256 << 10;
constexpr int64_t kConfigBytesMax = 1 << 20;
constexpr int64_t kMillisecondsMax = int64_t{365} * 24 * 3600 * 1000;

// The name with every character that is not allowed replaced: what the user most likely wants.
std::string NearestName(absl::string_view value) {
  std::string name;
  for (char c : value.substr(0, kNameLengthMax)) {
    const bool safe =
        absl::ascii_isalnum(c) || (!name.empty() && (c == '.' || c == '_' || c == '-'));
    if (safe) {
      name.push_back(c);
    } else if (!name.empty() && name.back() != '-') {
      name.push_back('-');
    }
  }
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name.empty() ? "job" : name;
}

absl::Status ValidateText(absl::string_view field, absl::string_view value, int64_t bytes_max) {
  if (static_cast<int64_t>(value.size()) > bytes_max) {
    return Wrong(field, absl::StrCat(value.size(), " bytes; at most ", bytes_max));
  }
  if (value.find('\0') != absl::string_view::npos) return Wrong(field, "contains a NUL byte");
  return absl::OkStatus();
}

absl::Status ValidateKind(const v1::JobSpec& spec, const std::vector<std::string>& kinds) {
  std::vector<std::string> allowed = {"command"};
  allowed.insert(allowed.end(), kinds.begin(), kinds.end());
  if (std::find(allowed.begin(), allowed.end(), spec.kind()) == allowed.end()) {
    const std::optional<std::string> nearest = NearestWord(spec.kind(), allowed);
    return Wrong("kind",
                 absl::StrCat(Shown(spec.kind()), " is not one of ", absl::StrJoin(allowed, ", "),
                              nearest ? absl::StrCat("; did you mean ", *nearest, "?") : ""));
  }
  if (spec.kind() == "command") {
    if (spec.command().empty() || spec.command(0).empty()) {
      return Wrong(
          "command",
          "is empty; name the program and its arguments, for example [\"python3\", \"train.py\"]");
    }
    if (!spec.config_json().empty())
      return Wrong("config_json", "is only for the built-in kinds; remove it");
  } else if (!spec.command().empty()) {
    return Wrong("command", absl::StrCat("kind ", spec.kind(),
                                         " has its own command; remove it or set kind: command"));
  }
  return absl::OkStatus();
}

absl::Status ValidateCommand(const v1::JobSpec& spec) {
  RETURN_IF_ERROR(InRange("command", spec.command_size(), 0, 1024));
  int64_t bytes = 0;
  for (int i = 0; i < spec.command_size(); ++i) {
    RETURN_IF_ERROR(
        ValidateText(absl::StrCat("command[", i, "]"), spec.command(i), kArgumentBytesMax));
    bytes += static_cast<int64_t>(spec.command(i).size());
  }
  if (bytes > kCommandBytesMax)
    return Wrong("command", absl::StrCat(bytes, " bytes in all; at most ", kCommandBytesMax));
  return ValidateText("config_json", spec.config_json(), kConfigBytesMax);
}

// Names that the fabric itself sets: a job that overrode them would break its own gang or pose as
// another.
bool IsReservedVariable(absl::string_view name) {
  static const std::set<std::string>* const kTorchrun =
      new std::set<std::string>{"RANK",      "LOCAL_RANK",  "WORLD_SIZE", "LOCAL_WORLD_SIZE",
                                "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"};
  return absl::StartsWith(name, "ONEAI_") || kTorchrun->count(std::string(name)) > 0;
}

absl::Status ValidateEnv(const v1::JobSpec& spec) {
  RETURN_IF_ERROR(InRange("env", spec.env_size(), 0, 256));
  for (const auto& [name, value] : spec.env()) {
    const bool well_formed = !name.empty() && name.size() <= 256 && !absl::ascii_isdigit(name[0]) &&
                             std::all_of(name.begin(), name.end(),
                                         [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
    if (!well_formed)
      return Wrong("env",
                   absl::StrCat(Shown(name), " is no variable name; use letters, digits and '_'"));
    if (IsReservedVariable(name))
      return Wrong("env", absl::StrCat(name, " is set by the fabric; choose another name"));
    RETURN_IF_ERROR(ValidateText(absl::StrCat("env.", name), value, kArgumentBytesMax));
  }
  return absl::OkStatus();
}

absl::Status ValidateLabels(const v1::JobSpec& spec) {
  RETURN_IF_ERROR(InRange("labels", spec.labels_size(), 0, 64));
  for (const auto& [name, value] : spec.labels()) {
    RETURN_IF_ERROR(ValidateName("labels", name));
    RETURN_IF_ERROR(ValidateText(absl::StrCat("labels.", name), value, 1024));
  }
  return absl::OkStatus();
}

absl::Status ValidateData(const v1::JobSpec& spec) {
  RETURN_IF_ERROR(InRange("data", spec.data_size(), 0, 256));
  for (int i = 0; i < spec.data_size(); ++i) {
    const v1::DataUse& use = spec.data(i);
    const std::string field = absl::StrCat("data[", i, "]");
    if (use.dataset().empty())
      return Wrong(absl::StrCat(field, ".dataset"),
                   "is empty; name a dataset, for example retail/tiny-shakespeare");
    if (use.purpose().empty())
      return Wrong(absl::StrCat(field, ".purpose"),
                   "is empty; every read names a purpose, for example pretraining");
    RETURN_IF_ERROR(ValidateText(absl::StrCat(field, ".dataset"), use.dataset(), 512));
    RETURN_IF_ERROR(ValidateName(absl::StrCat(field, ".purpose"), use.purpose()));
  }
  return absl::OkStatus();
}

absl::Status ValidatePolicies(const v1::JobSpec& spec) {
  if (!v1::Spread_IsValid(spec.spread()))
    return Wrong("spread", "is unknown; use PACK, NODE or SPREAD_RACK");
  RETURN_IF_ERROR(InRange("priority", spec.priority(), -1000, 1000));
  RETURN_IF_ERROR(InRange("restart.max_restarts", spec.restart().max_restarts(), -1, 1'000'000));
  RETURN_IF_ERROR(
      InRange("restart.backoff_initial_ms", spec.restart().backoff_initial_ms(), 0, 3'600'000));
  RETURN_IF_ERROR(
      InRange("restart.backoff_max_ms", spec.restart().backoff_max_ms(), 0, 24 * 3'600'000));
  if (BackoffMaxOf(spec) < BackoffInitialOf(spec)) {
    return Wrong("restart.backoff_max_ms",
                 absl::StrCat("is below restart.backoff_initial_ms; the nearest valid value is ",
                              absl::ToInt64Milliseconds(BackoffInitialOf(spec))));
  }
  RETURN_IF_ERROR(InRange("grace_ms", spec.grace_ms(), 0, 24 * 3'600'000));
  RETURN_IF_ERROR(InRange("time_limit_ms", spec.time_limit_ms(), 0, kMillisecondsMax));
  if (spec.gang() && spec.long_running()) {
    return Wrong(
        "long_running",
        "replicas restart one by one, a gang as one; set only one of gang and long_running");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateName(absl::string_view field, absl::string_view value) {
  const bool valid = !value.empty() && value.size() <= kNameLengthMax &&
                     absl::ascii_isalnum(value[0]) &&
                     std::all_of(value.begin(), value.end(), [](char c) {
                       return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
                     });
  if (valid) return absl::OkStatus();
  if (value.empty())
    return Wrong(field, "is empty; give it a name of letters, digits, '.', '_' and '-'");
  return Wrong(field, absl::StrCat(Shown(value), " is no name (1 to ", kNameLengthMax,
                                   " letters, digits, '.', '_', '-', beginning with a letter or "
                                   "digit); the nearest valid value is \"",
                                   NearestName(value), "\""));
}

absl::Status ValidateProject(absl::string_view value) {
  const size_t slash = value.find('/');
  if (slash == absl::string_view::npos) {
    return Wrong("project",
                 absl::StrCat(Shown(value), " must be <business unit>/<project>; for example \"",
                              NearestName(value), "/main\""));
  }
  RETURN_IF_ERROR(ValidateName("project (business unit)", value.substr(0, slash)));
  return ValidateName("project", value.substr(slash + 1));
}

absl::Status ValidateResources(const v1::Resources& resources) {
  RETURN_IF_ERROR(InRange("resources.cpu_milli", resources.cpu_milli(), 1, 4'096'000));
  RETURN_IF_ERROR(InRange("resources.memory_bytes", resources.memory_bytes(), 0, int64_t{1} << 50));
  RETURN_IF_ERROR(InRange("resources.num_ports", resources.num_ports(), 0, 64));
  RETURN_IF_ERROR(InRange("resources.devices", resources.devices_size(), 0, 16));
  for (int i = 0; i < resources.devices_size(); ++i) {
    const v1::DeviceRequest& device = resources.devices(i);
    const std::string field = absl::StrCat("resources.devices[", i, "]");
    RETURN_IF_ERROR(ValidateName(absl::StrCat(field, ".kind"), device.kind()));
    RETURN_IF_ERROR(InRange(absl::StrCat(field, ".count"), device.count(), 1, 1024));
    RETURN_IF_ERROR(InRange(absl::StrCat(field, ".milli"), device.milli(), 0, 1000));
    if (device.milli() > 0 && device.milli() < 1000 && device.count() > 1) {
      return Wrong(absl::StrCat(field, ".milli"),
                   absl::StrCat(device.milli(), " with count ", device.count(),
                                ": a share is of one device; the nearest valid value is count 1, "
                                "or milli 1000 for whole devices"));
    }
    RETURN_IF_ERROR(
        InRange(absl::StrCat(field, ".memory_bytes"), device.memory_bytes(), 0, int64_t{1} << 50));
    if (!std::isfinite(device.relative_throughput()) || device.relative_throughput() < 0) {
      return Wrong(absl::StrCat(field, ".relative_throughput"),
                   "must be a number of at least 0; the nearest valid value is 0 (meaning 1)");
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateJobSpec(const v1::JobSpec& spec, const std::vector<std::string>& kinds) {
  RETURN_IF_ERROR(ValidateName("name", spec.name()));
  RETURN_IF_ERROR(ValidateProject(spec.project()));
  RETURN_IF_ERROR(ValidateKind(spec, kinds));
  RETURN_IF_ERROR(ValidateCommand(spec));
  RETURN_IF_ERROR(ValidateEnv(spec));
  RETURN_IF_ERROR(InRange("num_tasks", spec.num_tasks(), 1, kTasksMax));
  RETURN_IF_ERROR(ValidateResources(spec.resources()));
  RETURN_IF_ERROR(ValidatePolicies(spec));
  RETURN_IF_ERROR(ValidatePlacement(spec));
  RETURN_IF_ERROR(ValidateData(spec));
  return ValidateLabels(spec);
}

absl::string_view BusinessUnitOf(absl::string_view project) {
  return project.substr(0, project.find('/'));
}

absl::Duration GraceOf(const v1::JobSpec& spec) {
  return spec.grace_ms() == 0 ? absl::Seconds(10) : absl::Milliseconds(spec.grace_ms());
}

absl::Duration BackoffInitialOf(const v1::JobSpec& spec) {
  const int64_t ms = spec.restart().backoff_initial_ms();
  return ms == 0 ? absl::Seconds(1) : absl::Milliseconds(ms);
}

absl::Duration BackoffMaxOf(const v1::JobSpec& spec) {
  const int64_t ms = spec.restart().backoff_max_ms();
  return ms == 0 ? std::max(absl::Seconds(60), BackoffInitialOf(spec)) : absl::Milliseconds(ms);
}

}  // namespace oneai::fabric

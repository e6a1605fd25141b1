// File: compute_fabric/shim/task_files.cc
#include "compute_fabric/shim/task_files.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "base/status.h"

namespace oneai::fabric {
namespace {

using Json = nlohmann::json;

absl::StatusOr<Json> ReadRecord(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 8 << 20));
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::DataLossError(absl::StrCat(path.string(), " is not a JSON object"));
  }
  return json;
}

// Reads the fields of one record; the first that is missing or of another type is the error.
class FieldReader {
 public:
  FieldReader(const Json& json, std::filesystem::path path) : json_(json), path_(std::move(path)) {}

  template <typename T>
  void Integer(const char* key, T& value) {
    if (const Json* field = Find(key, &Json::is_number_integer)) value = field->get<T>();
  }
  void Text(const char* key, std::string& value) {
    if (const Json* field = Find(key, &Json::is_string)) value = field->get<std::string>();
  }
  void List(const char* key, std::vector<std::string>& values) {
    const Json* field = Find(key, &Json::is_array);
    if (field == nullptr) return;
    for (const Json& item : *field) {
      if (!item.is_string()) return Fail(key);
      values.push_back(item.get<std::string>());
    }
  }
  void Map(const char* key, std::map<std::string, std::string>& values) {
    const Json* field = Find(key, &Json::is_object);
    if (field == nullptr) return;
    for (const auto& [name, item] : field->items()) {
      if (!item.is_string()) return Fail(key);
      values[name] = item.get<std::string>();
    }
  }
  // Fields that records of earlier agents lack, whose shims may still run.
  bool Has(const char* key) const { return json_.contains(key); }
  const absl::Status& status() const { return status_; }

 private:
  const Json* Find(const char* key, bool (Json::*has_type)() const noexcept) {
    const auto it = json_.find(key);
    if (it != json_.end() && ((*it).*has_type)()) return &*it;
    Fail(key);
    return nullptr;
  }
  void Fail(const char* key) {
    status_.Update(absl::DataLossError(
        absl::StrCat(path_.string(), ": field '", key, "' is missing or has a wrong type")));
  }

  const Json& json_;
  const std::filesystem::path path_;
  absl::Status status_;
};

// Text from a process may be any bytes; JSON wants UTF-8, so what is not is replaced.
std::string Dump(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

absl::Status WriteLaunchSpec(const std::filesystem::path& task_dir, const LaunchSpec& spec) {
  const Json json = {{"argv", spec.argv},
                     {"env", spec.env},
                     {"working_dir", spec.working_dir},
                     {"grace_ms", spec.grace_ms},
                     {"lease_file", spec.lease_file},
                     {"fence_ms", spec.fence_ms},
                     {"output_bytes_max", spec.output_bytes_max},
                     {"open_files_max", spec.open_files_max},
                     {"memory_bytes_max", spec.memory_bytes_max},
                     {"cgroups", spec.cgroups},
                     {"processes_max", spec.processes_max},
                     {"disk_bytes_max", spec.disk_bytes_max},
                     {"sandbox", spec.sandbox},
                     {"inherited_env", spec.inherited_env},
                     {"seccomp", spec.seccomp}};
  return WriteFileAtomically(task_dir / kLaunchFile, Dump(json), 0600);
}

absl::StatusOr<LaunchSpec> ReadLaunchSpec(const std::filesystem::path& task_dir) {
  ASSIGN_OR_RETURN(const Json json, ReadRecord(task_dir / kLaunchFile));
  LaunchSpec spec;
  FieldReader reader(json, task_dir / kLaunchFile);
  reader.List("argv", spec.argv);
  reader.Map("env", spec.env);
  reader.Text("working_dir", spec.working_dir);
  reader.Integer("grace_ms", spec.grace_ms);
  reader.Text("lease_file", spec.lease_file);
  reader.Integer("fence_ms", spec.fence_ms);
  reader.Integer("output_bytes_max", spec.output_bytes_max);
  reader.Integer("open_files_max", spec.open_files_max);
  reader.Integer("memory_bytes_max", spec.memory_bytes_max);
  reader.List("cgroups", spec.cgroups);
  if (reader.Has("sandbox")) {
    reader.Integer("processes_max", spec.processes_max);
    reader.Integer("disk_bytes_max", spec.disk_bytes_max);
    reader.List("sandbox", spec.sandbox);
    reader.List("inherited_env", spec.inherited_env);
    reader.Text("seccomp", spec.seccomp);
  }
  RETURN_IF_ERROR(reader.status());
  if (spec.argv.empty()) {
    return absl::DataLossError(absl::StrCat((task_dir / kLaunchFile).string(), ": empty argv"));
  }
  return spec;
}

absl::Status WriteShimRecord(const std::filesystem::path& task_dir, const ShimRecord& record) {
  const Json json = {{"pid", record.pid},
                     {"start_time", record.start_time},
                     {"group", record.group},
                     {"started_unix_ms", record.started_unix_ms}};
  return WriteFileAtomically(task_dir / kShimFile, Dump(json));
}

absl::StatusOr<ShimRecord> ReadShimRecord(const std::filesystem::path& task_dir) {
  ASSIGN_OR_RETURN(const Json json, ReadRecord(task_dir / kShimFile));
  ShimRecord record;
  FieldReader reader(json, task_dir / kShimFile);
  reader.Integer("pid", record.pid);
  reader.Integer("start_time", record.start_time);
  reader.Integer("group", record.group);
  reader.Integer("started_unix_ms", record.started_unix_ms);
  RETURN_IF_ERROR(reader.status());
  return record;
}

absl::Status WriteExitRecord(const std::filesystem::path& task_dir, const ExitRecord& record) {
  const Json json = {{"exit_code", record.exit_code},
                     {"signal", record.signal},
                     {"message", record.message},
                     {"started_unix_ms", record.started_unix_ms},
                     {"ended_unix_ms", record.ended_unix_ms},
                     {"output_bytes_dropped", record.output_bytes_dropped}};
  return WriteFileAtomically(task_dir / kExitFile, Dump(json));
}

absl::StatusOr<ExitRecord> ReadExitRecord(const std::filesystem::path& task_dir) {
  ASSIGN_OR_RETURN(const Json json, ReadRecord(task_dir / kExitFile));
  ExitRecord record;
  FieldReader reader(json, task_dir / kExitFile);
  reader.Integer("exit_code", record.exit_code);
  reader.Integer("signal", record.signal);
  reader.Text("message", record.message);
  reader.Integer("started_unix_ms", record.started_unix_ms);
  reader.Integer("ended_unix_ms", record.ended_unix_ms);
  reader.Integer("output_bytes_dropped", record.output_bytes_dropped);
  RETURN_IF_ERROR(reader.status());
  return record;
}

absl::Status WriteWarning(const std::filesystem::path& task_dir, int signal_number) {
  if (signal_number < 1 || signal_number > SIGRTMAX) {
    return absl::InvalidArgumentError(
        absl::StrCat("warning signal ", signal_number, ": must be 1 to ", SIGRTMAX));
  }
  return WriteFileAtomically(task_dir / kWarningFile, absl::StrCat(signal_number));
}

absl::StatusOr<int> ReadWarning(const std::filesystem::path& task_dir) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(task_dir / kWarningFile, 16));
  int signal_number = 0;
  if (!absl::SimpleAtoi(text, &signal_number) || signal_number < 1 || signal_number > SIGRTMAX) {
    return absl::DataLossError(
        absl::StrCat((task_dir / kWarningFile).string(), " does not hold a signal's number"));
  }
  return signal_number;
}

absl::StatusOr<int> LockTask(const std::filesystem::path& task_dir) {
  const std::filesystem::path path = task_dir / kShimLockFile;
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(errno, path.string());
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  const int error = errno;
  close(fd);
  if (error == EWOULDBLOCK) {
    return absl::FailedPreconditionError(absl::StrCat(path.string(), " is held by a live shim"));
  }
  return ErrnoStatus(error, path.string());
}

}  // namespace oneai::fabric

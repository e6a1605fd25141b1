#include "model_platform/registry/model_registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/files/files.h"
#include "base/ids.h"
#include "base/status.h"
#include "model_platform/registry/version_files.h"
#include "model_platform/settings/settings.h"

namespace oneai::platform {
namespace {

namespace fs = std::filesystem;
using registry::v1::ModelVersion;

constexpr absl::string_view kKeyPrefix = "models/";
constexpr absl::string_view kStagePrefix = ".tmp-";
constexpr size_t kConfigBytesMax = 1 << 20;
constexpr int kCommitAttempts = 5;

std::string KeyOf(const std::string& name, int32_t version) {
  return absl::StrFormat("%s%s/%010d", kKeyPrefix, name, version);
}

bool IsNumber(absl::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == absl::string_view::npos;
}

absl::Status CheckAlias(absl::string_view alias) {
  if (!IsReference(absl::StrCat("a/b@", alias)) || IsNumber(alias)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "alias '", alias, "' must be of [a-z0-9._-], at most 64 characters, and not a number"));
  }
  return absl::OkStatus();
}

void AddAlias(ModelVersion& version, const std::string& alias) {
  if (std::ranges::find(version.aliases(), alias) == version.aliases().end()) {
    version.add_aliases(alias);
  }
}

absl::Status CheckRequest(const registry::v1::RegisterModelRequest& request) {
  if (!IsQualifiedName(request.name())) {
    return absl::InvalidArgumentError(
        absl::StrCat("name '", request.name(), "' is not <business unit>/<model> of [a-z0-9._-]"));
  }
  if (request.lineage().config_json().size() > kConfigBytesMax) {
    return absl::InvalidArgumentError("lineage.config_json is larger than 1 MiB");
  }
  for (const std::string& alias : request.aliases()) RETURN_IF_ERROR(CheckAlias(alias));
  return absl::OkStatus();
}

}  // namespace

class ModelRegistry::NameClaim {
 public:
  NameClaim(ModelRegistry* registry, std::string name)
      : registry_(registry), name_(std::move(name)) {
    auto is_free = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return !registry_->claimed_.contains(name_);
    };
    absl::MutexLock lock(&registry_->mu_, absl::Condition(&is_free));
    registry_->claimed_.insert(name_);
  }
  ~NameClaim() {
    absl::MutexLock lock(&registry_->mu_);
    registry_->claimed_.erase(name_);
  }
  NameClaim(const NameClaim&) = delete;
  NameClaim& operator=(const NameClaim&) = delete;

 private:
  ModelRegistry* const registry_;
  const std::string name_;
};

ModelRegistry::ModelRegistry(Store* store, const Clock* clock, fs::path artifact_root,
                             fs::path registry_root)
    : store_(store),
      clock_(clock),
      artifact_root_(std::move(artifact_root)),
      registry_root_(std::move(registry_root)) {}

absl::StatusOr<std::unique_ptr<ModelRegistry>> ModelRegistry::Open(Store* store, const Clock* clock,
                                                                   fs::path artifact_root,
                                                                   fs::path registry_root) {
  std::error_code error;
  // Versions carry their folder to other processes, which have another working directory.
  registry_root = fs::absolute(registry_root, error);
  for (const fs::path& root : {artifact_root, registry_root}) {
    fs::create_directories(root, error);
    if (error) return ErrnoStatus(error.value(), absl::StrCat("making ", root.string()));
  }
  for (fs::directory_iterator it(registry_root, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code ignored;
    if (absl::StartsWith(it->path().filename().string(), kStagePrefix)) {
      fs::remove_all(it->path(), ignored);
    }
  }
  return std::unique_ptr<ModelRegistry>(
      new ModelRegistry(store, clock, std::move(artifact_root), std::move(registry_root)));
}

absl::StatusOr<std::vector<ModelRegistry::Stored>> ModelRegistry::Versions(
    const std::string& name) const {
  ASSIGN_OR_RETURN(
      const RangeResult range,
      store_->List(name.empty() ? std::string(kKeyPrefix) : absl::StrCat(kKeyPrefix, name, "/")));
  std::vector<Stored> versions;
  for (const KeyValue& item : range.items) {
    Stored& stored = versions.emplace_back();
    stored.mod_revision = item.mod_revision;
    if (!stored.version.ParseFromString(item.value)) {
      return absl::DataLossError(absl::StrCat("store key ", item.key, " is not a model version"));
    }
  }
  return versions;
}

absl::StatusOr<ModelRegistry::Stored> ModelRegistry::Find(const std::string& ref) const {
  if (!IsReference(ref)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", ref, "' is not <unit>/<model>, <unit>/<model>@3 or <unit>/<model>@alias"));
  }
  const std::vector<std::string> parts = absl::StrSplit(ref, absl::MaxSplits('@', 1));
  ASSIGN_OR_RETURN(const std::vector<Stored> versions, Versions(parts[0]));
  if (versions.empty()) return absl::NotFoundError(absl::StrCat("no model named ", parts[0]));
  if (parts.size() == 1) return versions.back();
  for (const Stored& stored : versions) {
    if (IsNumber(parts[1]) ? absl::StrCat(stored.version.version()) == parts[1]
                           : std::ranges::count(stored.version.aliases(), parts[1]) > 0) {
      return stored;
    }
  }
  return absl::NotFoundError(absl::StrCat(parts[0], " has no version or alias '", parts[1],
                                          "'; its newest version is ",
                                          versions.back().version.version()));
}

absl::StatusOr<ModelVersion> ModelRegistry::Resolve(const std::string& ref) const {
  ASSIGN_OR_RETURN(Stored stored, Find(ref));
  return std::move(stored.version);
}

absl::StatusOr<std::vector<ModelVersion>> ModelRegistry::List() const {
  ASSIGN_OR_RETURN(std::vector<Stored> stored, Versions(""));
  std::vector<ModelVersion> versions;
  for (Stored& s : stored) versions.push_back(std::move(s.version));
  return versions;
}

absl::StatusOr<ModelVersion> ModelRegistry::Register(
    const registry::v1::RegisterModelRequest& request, const common::v1::Principal& creator) {
  RETURN_IF_ERROR(CheckRequest(request));
  ASSIGN_OR_RETURN(const fs::path source, ResolveSource(artifact_root_, request.source_dir()));
  const fs::path stage = registry_root_ / NewId(kStagePrefix);
  std::error_code error;
  fs::create_directory(stage, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("making ", stage.string()));
  absl::StatusOr<ModelVersion> published = StageAndPublish(source, stage, request, creator);
  fs::remove_all(stage, error);
  for (const std::string& alias : request.aliases()) {
    if (!published.ok()) break;
    published = SetAlias(absl::StrCat(published->name(), "@", published->version()), alias);
  }
  return published;
}

absl::StatusOr<ModelVersion> ModelRegistry::StageAndPublish(
    const fs::path& source, const fs::path& stage,
    const registry::v1::RegisterModelRequest& request, const common::v1::Principal& creator) {
  ASSIGN_OR_RETURN(const StagedModel staged, StageModel(source, stage));
  ModelVersion version;
  version.set_name(request.name());
  version.mutable_files()->Assign(staged.files.begin(), staged.files.end());
  version.set_sha256(staged.sha256);
  version.set_num_parameters(staged.num_parameters);
  version.set_architecture(staged.architecture);
  *version.mutable_lineage() = request.lineage();
  *version.mutable_created_by() = creator;
  return Publish(stage, std::move(version));
}

absl::StatusOr<ModelVersion> ModelRegistry::Publish(const fs::path& stage, ModelVersion version) {
  const NameClaim claim(this, version.name());
  ASSIGN_OR_RETURN(const std::vector<Stored> earlier, Versions(version.name()));
  for (const Stored& stored : earlier) {
    if (stored.version.sha256() == version.sha256()) return stored.version;
  }
  version.set_version(earlier.empty() ? 1 : earlier.back().version.version() + 1);
  const fs::path target = registry_root_ / version.name() / absl::StrCat(version.version());
  version.set_path(target.string());
  const absl::Time now = clock_->Now();
  version.mutable_created()->set_seconds(absl::ToUnixSeconds(now));
  std::error_code error;
  fs::create_directories(target.parent_path(), error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("making ", target.string()));
  // Without a record under the claim, a folder of that number is what a crash left.
  fs::remove_all(target, error);
  fs::rename(stage, target, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("publishing ", target.string()));
  for (const fs::path& dir :
       {target.parent_path(), target.parent_path().parent_path(), registry_root_}) {
    RETURN_IF_ERROR(SyncDirectory(dir));
  }
  const std::string key = KeyOf(version.name(), version.version());
  Transaction transaction;
  transaction.If(key, 0).Put(key, version.SerializeAsString());
  if (const absl::StatusOr<int64_t> committed = store_->Commit(transaction); !committed.ok()) {
    // An aborted commit means that another controller has the version: the folder may be its.
    if (!absl::IsAborted(committed.status())) fs::remove_all(target, error);
    return committed.status();
  }
  return version;
}

absl::StatusOr<ModelVersion> ModelRegistry::SetAlias(const std::string& ref,
                                                     const std::string& alias) {
  RETURN_IF_ERROR(CheckAlias(alias));
  absl::Status last;
  for (int attempt = 0; attempt < kCommitAttempts; ++attempt) {
    ASSIGN_OR_RETURN(Stored target, Find(ref));
    ASSIGN_OR_RETURN(const std::vector<Stored> versions, Versions(target.version.name()));
    Transaction transaction;
    for (Stored other : versions) {
      if (other.version.version() == target.version.version()) continue;
      auto& aliases = *other.version.mutable_aliases();
      const auto found = std::ranges::find(aliases, alias);
      if (found == aliases.end()) continue;
      aliases.erase(found);
      const std::string key = KeyOf(other.version.name(), other.version.version());
      transaction.If(key, other.mod_revision).Put(key, other.version.SerializeAsString());
    }
    AddAlias(target.version, alias);
    const std::string key = KeyOf(target.version.name(), target.version.version());
    transaction.If(key, target.mod_revision).Put(key, target.version.SerializeAsString());
    last = store_->Commit(transaction).status();
    if (last.ok()) return target.version;
    if (!absl::IsAborted(last)) break;
  }
  return last;
}

absl::StatusOr<ModelVersion> ModelRegistry::AttachEvaluation(const std::string& ref,
                                                             registry::v1::Evaluation evaluation) {
  if (evaluation.task().empty() || evaluation.metrics().empty()) {
    return absl::InvalidArgumentError("an evaluation needs a task and at least one metric");
  }
  evaluation.mutable_time()->set_seconds(absl::ToUnixSeconds(clock_->Now()));
  absl::Status last;
  for (int attempt = 0; attempt < kCommitAttempts; ++attempt) {
    ASSIGN_OR_RETURN(Stored target, Find(ref));
    auto& all = *target.version.mutable_evaluations();
    const auto same = std::ranges::find_if(all, [&](const registry::v1::Evaluation& e) {
      return e.job_id() == evaluation.job_id() && e.task() == evaluation.task();
    });
    if (same == all.end()) {
      *all.Add() = evaluation;
    } else {
      *same = evaluation;
    }
    const std::string key = KeyOf(target.version.name(), target.version.version());
    Transaction transaction;
    transaction.If(key, target.mod_revision).Put(key, target.version.SerializeAsString());
    last = store_->Commit(transaction).status();
    if (last.ok()) return target.version;
    if (!absl::IsAborted(last)) break;
  }
  return last;
}

absl::StatusOr<fs::path> ModelRegistry::FilePath(const ModelVersion& version,
                                                 const std::string& file) const {
  const bool is_listed = std::ranges::any_of(
      version.files(), [&](const registry::v1::FileEntry& entry) { return entry.path() == file; });
  if (!is_listed) {
    return absl::NotFoundError(
        absl::StrCat(version.name(), "@", version.version(), " has no file '", file, "'"));
  }
  return ResolveBeneath(version.path(), file);
}

}  // namespace oneai::platform

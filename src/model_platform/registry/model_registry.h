// File: model_platform/registry/model_registry.h
//
// Immutable model versions with lineage, aliases and evaluations, as plain calls: the service, and
// whoever deploys endpoints, stand on it. Records live in the Store under
// models/<name>/<10-digit version>, files in <registry root>/<name>/<version>/.
//   stage (hidden folder) -> check -> rename -> commit the record
// A crash leaves at most a folder without record, which the next registration replaces.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/store/store.h"
#include "oneai/registry/v1/registry.pb.h"

namespace oneai::platform {

// Thread-safe. The pointers must outlive it.
class ModelRegistry {
 public:
  // Makes the registry's folder and removes what broken registrations left in it.
  static absl::StatusOr<std::unique_ptr<ModelRegistry>> Open(Store* store, const Clock* clock,
                                                             std::filesystem::path artifact_root,
                                                             std::filesystem::path registry_root);

  // Adds a version, or returns the one that holds the same content under this name; in both cases
  // it carries the request's aliases afterwards. InvalidArgument: see
  // proto/oneai/registry/v1/registry.proto and StageModel.
  absl::StatusOr<registry::v1::ModelVersion> Register(
      const registry::v1::RegisterModelRequest& request, const common::v1::Principal& creator);

  // The version that "name" (newest), "name@3" or "name@alias" stands for. InvalidArgument: not a
  // reference. NotFound, saying what there is.
  absl::StatusOr<registry::v1::ModelVersion> Resolve(const std::string& ref) const;

  // Every version, by name and then version.
  absl::StatusOr<std::vector<registry::v1::ModelVersion>> List() const;

  // Points `alias` to the version, away from another one of the same name. InvalidArgument: an
  // alias must be of [a-z0-9._-] and not a number.
  absl::StatusOr<registry::v1::ModelVersion> SetAlias(const std::string& ref,
                                                      const std::string& alias);

  // Adds an evaluation, replacing one of the same job and task, so that a repeated call is
  // harmless.
  absl::StatusOr<registry::v1::ModelVersion> AttachEvaluation(const std::string& ref,
                                                              registry::v1::Evaluation evaluation);

  // Where a file of a version lies. NotFound: the version has no such file.
  absl::StatusOr<std::filesystem::path> FilePath(const registry::v1::ModelVersion& version,
                                                 const std::string& file) const;

  const std::filesystem::path& artifact_root() const { return artifact_root_; }

 private:
  struct Stored {
    registry::v1::ModelVersion version;
    int64_t mod_revision = 0;
  };
  // Keeps other registrations of a name out while one is between "next version" and "commit".
  class NameClaim;

  ModelRegistry(Store* store, const Clock* clock, std::filesystem::path artifact_root,
                std::filesystem::path registry_root);
  absl::StatusOr<std::vector<Stored>> Versions(const std::string& name) const;
  absl::StatusOr<Stored> Find(const std::string& ref) const;
  absl::StatusOr<registry::v1::ModelVersion> StageAndPublish(
      const std::filesystem::path& source, const std::filesystem::path& stage,
      const registry::v1::RegisterModelRequest& request, const common::v1::Principal& creator);
  absl::StatusOr<registry::v1::ModelVersion> Publish(const std::filesystem::path& stage,
                                                     registry::v1::ModelVersion version);

  Store* const store_;
  const Clock* const clock_;
  const std::filesystem::path artifact_root_;
  const std::filesystem::path registry_root_;
  absl::Mutex mu_;
  absl::flat_hash_set<std::string> claimed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace oneai::platform

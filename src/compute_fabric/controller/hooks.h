// File: compute_fabric/controller/hooks.h
//
// What the controller is given by main: settings, and the few things it must ask of packages that
// it may not include.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/auth/access.h"
#include "compute_fabric/endpoints/replica_adapters.h"
#include "compute_fabric/jobs/placed_attempt.h"
#include "compute_fabric/scheduler/policy.h"
#include "oneai/fabric/v1/endpoint.pb.h"
#include "oneai/fabric/v1/job.pb.h"

namespace oneai::fabric {

// Whether `identity` may submit the job: data policies. An error reaches the user as it is.
using AdmissionCheck =
    std::function<absl::Status(const v1::JobSpec& spec, const Identity& identity)>;

// A kind of job that the platform brings. `validate` checks config_json, and what `submitter` may
// name in it, and may set other fields of the spec (data, env); `argv` is the command of each task,
// its program looked up by the node beside its own.
struct JobKind {
  std::string name;
  std::function<absl::Status(absl::string_view config_json, const Identity& submitter,
                             v1::JobSpec& spec)>
      validate;
  std::vector<std::string> argv;
};

// Certificate and key of spiffe://oneai/job/<job id>, valid for `address`.
struct TaskIdentity {
  std::string certificate_pem;
  std::string private_key_pem;
  std::string ca_pem;
};
using IssueTaskIdentity = std::function<absl::StatusOr<TaskIdentity>(const std::string& job_id,
                                                                     const std::string& address)>;

// Something that a principal did or was refused. Called without a lock held; must not call back.
struct AuditEntry {
  Identity identity;
  std::string action;    // "job.submit", "job.cancel", "endpoint.deploy", "node.cordon", ...
  std::string resource;  // "job/job-x"
  bool allowed = true;
  std::string detail;
};
using AuditSink = std::function<void(const AuditEntry& entry)>;

// A model reference made exact. NotFound: no such model or version. PermissionDenied: a model of a
// unit whose models `identity` may not view. InvalidArgument: an adapter where a model is wanted,
// or a model where an adapter is.
enum class ModelUse { kModel, kAdapter };
struct ResolvedModel {
  std::string name_at_version;  // "retail/shakespeare@2"
  std::string dir;              // absolute, seen by all nodes
};
using ResolveModel = std::function<absl::StatusOr<ResolvedModel>(
    const std::string& reference, ModelUse use, const Identity& identity)>;

struct ControllerHooks {
  AdmissionCheck admission;          // empty: everything is admitted
  std::vector<JobKind> kinds;        // "serve" is needed for endpoints
  IssueTaskIdentity issue_identity;  // empty: tasks get no certificate
  AuditSink audit;                   // empty: none
  ResolveModel resolve_model;        // empty: no endpoints
  // null: replicas learn of other adapters when they start
  std::shared_ptr<ReplicaAdapters> replica_adapters;
};

struct ControllerOptions {
  std::filesystem::path log_dir;       // <state dir>/logs
  std::filesystem::path artifact_dir;  // on storage that all nodes see
  std::filesystem::path registry_dir;

  // Without a heartbeat for this long a node is LOST: no new tasks. Shorter replaces sooner, longer
  // forgives more.
  absl::Duration lease = absl::Seconds(5);
  // How long after its lease a lost node may still run tasks: its shims' fence (oneai-node
  // --fence-ms). Only then are its tasks LOST and placed again; shorter than the fence would run a
  // task twice.
  absl::Duration node_fence = absl::Seconds(30);
  // How often the loop looks at the time when nothing happens.
  absl::Duration tick = absl::Milliseconds(100);
  // Groups of placements on their way to the store at the same time, each by a thread of its own.
  int commits_at_once = 8;
  // Calls that wait (watch, follow) at the same time; each holds a thread. More are refused with
  // RESOURCE_EXHAUSTED.
  int streams_max = 256;
  // How jobs are placed, and what resources cost (policy.price_per_hour).
  Policy policy = Policy();
  // Of the fabric's capacity, guaranteed to each business unit for experiments ("<unit>/sandbox"),
  // in whole cores, GiB and tenths of a device; all sandboxes together at most ten times this, and
  // none where that is below one. 0: none.
  double sandbox_share = 0.01;
  // What was measured of kinds of devices, where it differs from what ships (device_choice.h).
  std::map<std::string, v1::LatencyClass> latency_class_of_kind;
  // A finished job, its output and its metrics are deleted after this, or when there are more than
  // so many; never while an unfinished job depends on it.
  absl::Duration job_retention = absl::Hours(24 * 30);
  int64_t finished_jobs_max = 100'000;
  // Bytes kept of each task's output and of its metrics.
  int64_t log_bytes_max = int64_t{256} << 20;
  // Where attempts are announced; lives longer than the controller.
  ArtifactFolders* folders = ArtifactFolders::OnDisk();
};

}  // namespace oneai::fabric

#include "compute_fabric/slurm/slurm_shims.h"

#include <signal.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/files/files.h"
#include "base/status.h"
#include "compute_fabric/shim/task_files.h"

namespace oneai::fabric {
namespace {

std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

// What to ask of Slurm for the devices that the fabric allocated: their number by type.
absl::StatusOr<std::vector<SlurmGres>> GresOf(const TaskOrder& order,
                                              const std::map<std::string, SlurmGres>& devices) {
  std::vector<SlurmGres> gres;
  for (const std::string& id : order.device_ids) {
    const auto device = devices.find(id);
    if (device == devices.end()) continue;  // the CPU itself
    bool counted = false;
    for (SlurmGres& one : gres) {
      if (one.name != device->second.name || one.type != device->second.type) continue;
      ++one.count;
      counted = true;
    }
    if (!counted) gres.push_back({device->second.name, device->second.type, 1});
  }
  return gres;
}

}  // namespace

std::string SlurmJobName(const TaskKey& key) { return absl::StrCat("oneai-", key.FolderName()); }

std::string SlurmScript(const std::string& shim_program, const std::string& task_dir) {
  return absl::StrCat("#!/bin/sh\nexec ", Quoted(shim_program), " --task-dir ", Quoted(task_dir),
                      "\n");
}

std::vector<std::string> SlurmShims::inherited_env() const {
  return {"CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES",
          "SLURM_JOB_ID",         "SLURM_JOB_GPUS",     "SLURMD_NODENAME"};
}

absl::Status SlurmShims::Start(const TaskOrder& order, const std::filesystem::path& dir) {
  for (const DeviceShare& share : order.shares) {
    if (share.milli >= 1000) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("Slurm gives whole devices, not ", share.milli, "/1000 of ", share.id,
                     "; ask for whole ones, or keep the job off Slurm's nodes by node_selector"));
  }
  const std::string script = (dir / "slurm.sh").string();
  RETURN_IF_ERROR(WriteFileAtomically(script, SlurmScript(node_.shim_program, dir.string()), 0700));
  SlurmSubmission submission;
  submission.name = SlurmJobName(order.key);
  submission.node = node_.name;
  submission.script_file = script;
  submission.output_file = (dir / "shim.log").string();
  submission.working_dir = dir.string();
  submission.cpus = std::max<int64_t>(1, (order.cpu_milli + 999) / 1000);
  submission.memory_bytes = order.memory_bytes;
  ASSIGN_OR_RETURN(submission.gres, GresOf(order, node_.device));
  pool_->Submit(submission);
  return absl::OkStatus();
}

void SlurmShims::Adopt(const TaskKey& key, const std::filesystem::path&) {
  pool_->Adopt(SlurmJobName(key), node_.name);
}

bool SlurmShims::HasEnded(const TaskKey& key, const std::filesystem::path& dir) {
  // The record is durable before the shim goes; Slurm takes a moment longer to notice.
  std::error_code error;
  if (std::filesystem::exists(dir / kExitFile, error)) return true;
  return pool_->Find(SlurmJobName(key)).phase == SlurmPhase::kEnded;
}

std::string SlurmShims::WhyEnded(const TaskKey& key) const {
  return pool_->Find(SlurmJobName(key)).message;
}

void SlurmShims::Terminate(const TaskKey& key, const std::filesystem::path&) {
  const std::string name = SlurmJobName(key);
  switch (pool_->Find(name).phase) {
    case SlurmPhase::kRunning:
      if (!std::exchange(terminated_[key], true)) pool_->Signal(name, SIGTERM);
      return;
    case SlurmPhase::kSubmitting:
    case SlurmPhase::kQueued:
      // Nothing runs yet, so there is nobody to warn.
      pool_->Cancel(name);
      return;
    case SlurmPhase::kEnded:
      return;
  }
}

void SlurmShims::Kill(const TaskKey& key) { pool_->Cancel(SlurmJobName(key)); }

void SlurmShims::Forget(const TaskKey& key) {
  terminated_.erase(key);
  pool_->Forget(SlurmJobName(key));
}

}  // namespace oneai::fabric

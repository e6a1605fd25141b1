// File: models/lora/cpu_adapters.h
//
// The LoRA adapters that a serving model has loaded, by number. They come and go while the model
// runs: a step works with the adapters as they were when it began.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "kernels/thread_pool/kernel_context.h"
#include "models/config/model_config.h"
#include "models/lora/lora_adapter.h"
#include "models/ops/cpu_lora.h"
#include "models/qwen/block_names.h"

namespace oneai::models {

// What a packed matrix of the model is made of, in the order of CpuLora::sites.
struct AdapterSite {
  qwen::RowParts parts;
  int64_t in = 0;
};

using AdapterTable = absl::flat_hash_map<int32_t, std::shared_ptr<const CpuLora>>;

// Thread-safe: Load and Unload may be called while a step runs.
class AdapterSet {
 public:
  // `sites` are those of the model; factors are kept as `format` (kFloat32 or kBFloat16).
  // `bytes_max` bounds the packed factors of all loaded adapters.
  AdapterSet(ModelConfig config, std::vector<AdapterSite> sites, kernels::WeightFormat format,
             int64_t bytes_max);

  // Loads the PEFT adapter in `folder` and returns its number, which is never used again.
  // Errors: those of LoraAdapter::Load; ResourceExhausted when it exceeds what is left of
  // bytes_max, saying what it takes.
  absl::StatusOr<int32_t> Load(const std::filesystem::path& folder);
  // As above for an adapter that is open, of a model of the same shape.
  absl::StatusOr<int32_t> Load(const LoraAdapter& adapter);
  // Forgets adapter `id`; its memory goes when the step that uses it, if any, has ended. NotFound:
  // no such adapter.
  absl::Status Unload(int32_t id);

  int64_t bytes() const;
  // The adapters of this moment, immutable.
  std::shared_ptr<const AdapterTable> Snapshot() const;

 private:
  absl::StatusOr<CpuLora> Pack(const LoraAdapter& adapter);

  const ModelConfig config_;
  const std::vector<AdapterSite> sites_;
  const kernels::WeightFormat format_;
  const int64_t bytes_max_;
  absl::flat_hash_map<std::string, std::vector<size_t>> sites_of_;  // by tensor; constant
  absl::Mutex packing_mu_;
  kernels::KernelContext context_ ABSL_GUARDED_BY(packing_mu_);
  mutable absl::Mutex mu_;
  std::shared_ptr<const AdapterTable> table_ ABSL_GUARDED_BY(mu_);
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int32_t next_id_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace oneai::models

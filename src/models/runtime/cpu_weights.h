// File: models/runtime/cpu_weights.h
//
// Binds and packs a model's weights for the CPU, from whatever file they lie in.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "kernels/gemm/weight_format.h"
#include "kernels/thread_pool/kernel_context.h"
#include "models/config/model_config.h"
#include "models/lora/cpu_adapters.h"
#include "models/ops/cpu_ops.h"
#include "models/qwen/weights.h"
#include "models/runtime/weight_cache.h"
#include "models/weights/weight_source.h"

namespace oneai::models {

// In which format each kind of weight is kept. Dense weights are rounded or quantised to it when
// they are bound; weights that are stored as integers are packed with their own codes, without
// loss, unless `exact` asks for float32 arithmetic.
//   matrices of layers             `layers`
//   the matrix at the output       `head`: int8 where layers are int4, because its rounding shows
//                                  in every logit
//   routers, DeltaNet's b and a    float32 with kFloat32 layers, else bfloat16 at least (routers
//                                  float32): small, and they decide what others compute
//   embedding, norms, biases       as stored; float16 and quantised embeddings widened to float32
struct CpuWeightPolicy {
  kernels::WeightFormat layers = kernels::WeightFormat::kBFloat16;
  kernels::WeightFormat head = kernels::WeightFormat::kBFloat16;
  bool exact = false;

  static CpuWeightPolicy For(kernels::WeightFormat format, bool exact);
};

// A model's weights with what they borrow.
struct CpuWeights {
  qwen::ModelWeights<CpuOps> model;
  std::optional<qwen::MtpWeights<CpuOps>> mtp;  // with config.num_draft_layers
  std::vector<AdapterSite> sites;               // by CpuOps::Linear::site
  DenseWeight embedding;                        // what model.embed points into, unless mapped
  std::shared_ptr<WeightCache> cache;           // what matrices borrow, when it is warm
  int64_t bytes = 0;                            // of all packed matrices
};

// Binds `config`'s model to `source`, which must outlive the result. `cache` may be null. Errors:
// those of qwen::MatchCheckpoint and of the source; ResourceExhausted: memory.
absl::StatusOr<CpuWeights> BindCpuWeights(const ModelConfig& config, const WeightSource& source,
                                          const CpuWeightPolicy& policy,
                                          kernels::KernelContext& context,
                                          std::shared_ptr<WeightCache> cache = nullptr);

}  // namespace oneai::models

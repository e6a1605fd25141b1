// File: serving/replica/replica_settings.h
//
// The settings of one replica: its task's config.json, and where the task's environment says to
// listen.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/gemm/packed_matrix.h"
#include "models/runtime/paged_kv_cache.h"
#include "serving/engine/engine.h"
#include "serving/replica/request_builder.h"

namespace oneai::serving {

// Keys of config.json. Unknown keys are errors.
struct ReplicaSettings {
  std::string model_dir;      // a Hugging Face checkpoint folder
  std::string model_name;     // what callers ask for
  std::string model_version;  // the registry's reference, for those who list models; may be empty
  models::ComputeDtype dtype =
      models::ComputeDtype::kBf16;  // "bf16" or "f32" (twice the memory, slower)
  int64_t max_context_tokens =
      0;  // prompt and output of a request; 0: what the model was made for, at most 8192
  int64_t max_running_sequences = 32;  // computed together; more wait
  int64_t max_waiting_requests = 256;  // refused beyond
  int64_t max_batch_tokens =
      512;  // of a step: more is better throughput and longer gaps between tokens
  int64_t kv_cache_bytes = 0;  // 0: eight full contexts
  int32_t num_threads = 0;     // 0: every processor this process may run on

  // "none", "int8" or "int4": how weights that are stored in floating point are kept. Weights that
  // the folder stores as integers or FP8 are kept without loss.
  std::optional<kernels::WeightFormat> quantize;
  // "auto" (as dtype), "bf16", "f32" or "int8".
  std::optional<models::KvCacheFormat> kv_cache;
  // Keeps packed weights for the next start; empty: in the node's cache, if it has one.
  std::string weight_cache_dir;
  std::optional<ModelTask> task;  // "auto", "generate", "embed", "rerank" or "classify"
  bool prefix_cache = true;       // prompts that begin alike are computed once
  std::string prefix_file_dir;    // spills blocks of the prefix cache to a file there; empty: none
  int64_t prefix_file_bytes = int64_t{4} << 30;
  // "auto" (as "mtp" where the model has such a head, else "off"), "off", "prompt_lookup", "mtp" (the
  // model's multi-token-prediction head) or "draft".
  Speculation speculation = Speculation::kAuto;
  std::string draft_model_dir;  // with "draft"
  int64_t draft_tokens_max = 6;
  // Of models with recurrent layers: memory for states beside those of running sequences, which
  // guesses and the prefix cache take.
  int64_t state_cache_bytes = int64_t{1} << 30;
  std::map<std::string, std::string> adapters;  // LoRA adapters: name -> folder
};

// kInvalidArgument: names the key. `source` names the document in errors.
absl::StatusOr<ReplicaSettings> ParseReplicaSettings(absl::string_view text,
                                                     const std::string& source);

// What a task's environment says; see docs/architecture.md.
struct ReplicaEnvironment {
  std::filesystem::path task_dir;  // ONEAI_TASK_DIR: config.json, tls/
  std::string listen;  // ONEAI_ADDRESS:ONEAI_PORT_0, loopback and any free port unless set
  std::optional<int> metrics_port;  // ONEAI_PORT_1: /metrics by HTTP; unset: none
  std::string metrics_host;         // ONEAI_ADDRESS
  std::string ready_file;           // ONEAI_READY_FILE; may be empty
  std::string cache_dir;            // ONEAI_CACHE_DIR: kept by the node between tasks; may be empty
};

// `get` returns the value of a variable, or nullptr. kInvalidArgument: a port that is no port.
absl::StatusOr<ReplicaEnvironment> ReadReplicaEnvironment(
    const std::function<const char*(const char*)>& get);

}  // namespace oneai::serving

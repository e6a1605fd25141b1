#include "serving/replica/replica_settings.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/config/reader.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

std::optional<kernels::WeightFormat> QuantizeOf(const std::string& word) {
  if (word == "int8") return kernels::WeightFormat::kInt8;
  if (word == "int4") return kernels::WeightFormat::kInt4;
  return std::nullopt;
}

std::optional<models::KvCacheFormat> KvCacheOf(const std::string& word) {
  if (word == "bf16") return models::KvCacheFormat::kBf16;
  if (word == "f32") return models::KvCacheFormat::kF32;
  if (word == "int8") return models::KvCacheFormat::kInt8;
  return std::nullopt;
}

std::optional<ModelTask> TaskOf(const std::string& word) {
  if (word == "generate") return ModelTask::kGenerate;
  if (word == "embed") return ModelTask::kEmbed;
  if (word == "rerank") return ModelTask::kRerank;
  if (word == "classify") return ModelTask::kClassify;
  return std::nullopt;
}

Speculation SpeculationOf(const std::string& word) {
  if (word == "off") return Speculation::kOff;
  if (word == "prompt_lookup") return Speculation::kPromptLookup;
  if (word == "mtp") return Speculation::kMtp;
  return word == "draft" ? Speculation::kDraftModel : Speculation::kAuto;
}

}  // namespace

absl::StatusOr<ReplicaSettings> ParseReplicaSettings(absl::string_view text,
                                                     const std::string& source) {
  ASSIGN_OR_RETURN(const ConfigDocument document, ConfigDocument::Parse(text, source));
  ConfigReader reader(document);
  ReplicaSettings settings;
  std::string dtype = "bf16";
  reader.Required("model_dir", settings.model_dir);
  reader.Required("model_name", settings.model_name);
  reader.Optional("model_version", settings.model_version);
  reader.OptionalChoice("dtype", dtype, {"bf16", "f32"});
  reader.Optional("max_context_tokens", settings.max_context_tokens, Range{0, 1 << 20});
  reader.Optional("max_running_sequences", settings.max_running_sequences, Range{1, 4096});
  reader.Optional("max_waiting_requests", settings.max_waiting_requests, Range{1, 65536});
  reader.Optional("max_batch_tokens", settings.max_batch_tokens, Range{1, 65536});
  reader.OptionalBytes("kv_cache_bytes", settings.kv_cache_bytes);
  reader.Optional("num_threads", settings.num_threads, Range{0, 1024});
  std::string quantize = "none", kv_cache = "auto", task = "auto", speculation = "auto";
  reader.OptionalChoice("quantize", quantize, {"none", "int8", "int4"});
  reader.OptionalChoice("kv_cache", kv_cache, {"auto", "bf16", "f32", "int8"});
  reader.OptionalChoice("task", task, {"auto", "generate", "embed", "rerank", "classify"});
  reader.Optional("prefix_cache", settings.prefix_cache);
  reader.Optional("prefix_file_dir", settings.prefix_file_dir);
  reader.OptionalBytes("prefix_file_bytes", settings.prefix_file_bytes);
  reader.OptionalChoice("speculation", speculation,
                        {"auto", "off", "prompt_lookup", "mtp", "draft"});
  reader.Optional("draft_model_dir", settings.draft_model_dir);
  reader.Optional("draft_tokens_max", settings.draft_tokens_max, Range{1, 64});
  reader.OptionalBytes("state_cache_bytes", settings.state_cache_bytes);
  reader.Optional("adapters", settings.adapters);
  reader.Optional("weight_cache_dir", settings.weight_cache_dir);
  if (quantize != "none" && dtype == "f32")
    reader.Fail("quantize", "needs dtype bf16; integer weights have no exact form in f32");
  if ((speculation == "draft") == settings.draft_model_dir.empty())
    reader.Fail("speculation", "\"draft\" and a draft_model_dir belong together");
  RETURN_IF_ERROR(reader.Finish());
  settings.dtype = dtype == "f32" ? models::ComputeDtype::kF32 : models::ComputeDtype::kBf16;
  settings.quantize = QuantizeOf(quantize);
  settings.kv_cache = KvCacheOf(kv_cache);
  settings.task = TaskOf(task);
  settings.speculation = SpeculationOf(speculation);
  return settings;
}

namespace {

absl::StatusOr<int> ReadPort(const char* name, const char* value) {
  int port = 0;
  if (!absl::SimpleAtoi(value, &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is \"", value, "\"; it must be a port, 0 to 65535"));
  }
  return port;
}

}  // namespace

absl::StatusOr<ReplicaEnvironment> ReadReplicaEnvironment(
    const std::function<const char*(const char*)>& get) {
  const auto text = [&](const char* name, const char* fallback) {
    const char* value = get(name);
    return std::string(value != nullptr && *value != '\0' ? value : fallback);
  };
  ReplicaEnvironment env;
  env.task_dir = text("ONEAI_TASK_DIR", ".");
  env.ready_file = text("ONEAI_READY_FILE", "");
  env.cache_dir = text("ONEAI_CACHE_DIR", "");
  env.metrics_host = text("ONEAI_ADDRESS", "127.0.0.1");
  ASSIGN_OR_RETURN(const int port, ReadPort("ONEAI_PORT_0", text("ONEAI_PORT_0", "0").c_str()));
  env.listen = absl::StrCat(env.metrics_host, ":", port);
  if (const std::string second = text("ONEAI_PORT_1", ""); !second.empty()) {
    ASSIGN_OR_RETURN(env.metrics_port, ReadPort("ONEAI_PORT_1", second.c_str()));
  }
  return env;
}

}  // namespace oneai::serving

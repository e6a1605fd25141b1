#include "serving/replica/replica_settings.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/config/reader.h"
#include "base/status.h"

namespace oneai::serving {

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
  RETURN_IF_ERROR(reader.Finish());
  settings.dtype = dtype == "f32" ? models::ComputeDtype::kF32 : models::ComputeDtype::kBf16;
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
  env.metrics_host = text("ONEAI_ADDRESS", "127.0.0.1");
  ASSIGN_OR_RETURN(const int port, ReadPort("ONEAI_PORT_0", text("ONEAI_PORT_0", "0").c_str()));
  env.listen = absl::StrCat(env.metrics_host, ":", port);
  if (const std::string second = text("ONEAI_PORT_1", ""); !second.empty()) {
    ASSIGN_OR_RETURN(env.metrics_port, ReadPort("ONEAI_PORT_1", second.c_str()));
  }
  return env;
}

}  // namespace oneai::serving

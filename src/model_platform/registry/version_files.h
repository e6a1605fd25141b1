// File: model_platform/registry/version_files.h
//
// The files of a model version, from a checkpoint folder to a folder of the registry.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "oneai/registry/v1/registry.pb.h"

namespace oneai::platform {

// The folder that `source` names: absolute or relative, but in any case, after resolving symbolic
// links, below `root`. InvalidArgument: it leaves the root, is the root, or is no folder.
absl::StatusOr<std::filesystem::path> ResolveSource(const std::filesystem::path& root,
                                                    absl::string_view source);

// In place of an architecture in the record of a PEFT LoRA adapter.
inline constexpr char kAdapterArchitecture[] = "LoraAdapter";

// What a staged folder holds.
struct StagedModel {
  std::vector<registry::v1::FileEntry> files;  // by path
  std::string sha256;                          // identity of the content, see ContentSha256
  int64_t num_parameters = 0;
  std::string architecture;  // "Qwen3ForCausalLM"; kAdapterArchitecture
};

// Brings the model files of `source` into the empty folder `stage`, by hard link where the file
// system allows it (checkpoints are replaced by rename, never written in place) and by copy
// otherwise, makes them durable and checks that they form a model that loads: config.json, weights
// whose names, shapes and dtypes are the config's (plain, FP8, GPTQ, AWQ or one GGUF file), a
// tokenizer that fits the vocabulary; or a PEFT LoRA adapter. The trainer's own state stays behind.
// InvalidArgument names the file of `source` that is missing, malformed, altered since its manifest
// was written, or not a regular file. ResourceExhausted: disk full.
absl::StatusOr<StagedModel> StageModel(const std::filesystem::path& source,
                                       const std::filesystem::path& stage);

// SHA-256 of the lines "<path>\t<size>\t<sha256>\n" in order of path.
std::string ContentSha256(const std::vector<registry::v1::FileEntry>& files);

}  // namespace oneai::platform

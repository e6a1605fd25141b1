// File: models/model_tool/inspection.h
//
// What a model's files say of it: a Hugging Face folder or a GGUF file, read without loading
// weights (InspectModel), or with every byte of them (VerifyModel).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/json/json_reader.h"

namespace oneai::models {

enum class TensorList : uint8_t { kLeaveOut, kInclude };

// The model as a JSON object: path, files (name, bytes), architecture, config, parameters, bytes,
// bits_per_weight, encodings (format, tensors, elements), tokenizer, problems (of parts that cannot
// be read), and, if asked for, tensors (name, shape, format). Errors as OpenWeights.
absl::StatusOr<OrderedJson> InspectModel(const std::filesystem::path& path, TensorList tensors);

// The same for people.
std::string InspectionText(const OrderedJson& inspection);

enum class Checksums : uint8_t {
  kIfListed,  // compare with SHA256SUMS where the folder has one
  kCompute    // also list the SHA-256 of every file
};

struct Verification {
  std::vector<std::string> findings;                        // empty: nothing is wrong
  std::vector<std::string> passed;                          // what was checked, in words
  std::vector<std::pair<std::string, std::string>> sha256;  // file name, lower-case hex
};

// Checks configuration, container, every tensor's place and shape against the architecture, every
// number for NaN and infinity, tied weights, tokenizer and chat template, and checksums. NotFound:
// nothing at `path`; everything else that is wrong is a finding.
absl::StatusOr<Verification> VerifyModel(
    const std::filesystem::path& path, Checksums checksums,
    const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace oneai::models

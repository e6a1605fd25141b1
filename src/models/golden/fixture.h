// File: models/golden/fixture.h
//
// A golden fixture: a model folder together with the outputs that the reference implementation
// computed from it in float32 (golden.json says what, golden.safetensors holds it). Read as
// untrusted input.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/config/model_config.h"
#include "models/json/json_reader.h"
#include "models/safetensors/checkpoint.h"

namespace oneai::models::golden {

// What a prompt's golden holds: logits and greedy tokens, a pooled vector, a yes/no score, or class
// scores.
enum class CaseKind { kText, kEmbedding, kRerank, kScores };

struct GoldenCase {
  std::string name;  // prefix of its tensors
  CaseKind kind = CaseKind::kText;
  std::vector<int32_t> input_ids;
  bool traced = false;  // hidden states are there too
  std::string adapter;  // the one it was run with, or ""
};

struct AdamWSettings {
  double learning_rate = 0, beta1 = 0, beta2 = 0, epsilon = 0, weight_decay = 0;
  int64_t num_steps = 0;
  std::vector<double> losses;  // before each step, and after the last
};

struct GoldenTraining {
  std::string adapter;  // "": all of the model is trained; else this adapter's factors only
  double loss = 0;
  std::optional<double> grad_norm;
  std::optional<double> aux_loss;      // load balancing of experts; not part of loss
  std::vector<std::string> gradients;  // parameter names; with an adapter those of all its factors
  std::optional<AdamWSettings> optimizer;
};

// A config.json in one of its forms.
struct NamedConfig {
  std::string file;
  ModelConfig config;
};

class Fixture {
 public:
  // Reads everything but the model's weights. NotFound: no such folder or file. InvalidArgument:
  // malformed, naming file and key. Unimplemented: an architecture, case kind or part that this
  // runner does not check, by name.
  static absl::StatusOr<Fixture> Open(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  double tolerance() const { return tolerance_; }  // relative to the golden tensor's std
  const std::vector<NamedConfig>& configs() const { return configs_; }
  const std::vector<GoldenCase>& cases() const { return cases_; }
  // Folders of PEFT LoRA adapters within the fixture.
  const std::vector<std::string>& adapters() const { return adapters_; }
  const std::optional<GoldenTraining>& training() const { return training_; }
  int64_t token_yes() const { return token_yes_; }  // of kRerank cases
  int64_t token_no() const { return token_no_; }
  int64_t truncated_dimension() const {
    return truncated_dimension_;
  }  // of kEmbedding cases; 0: none

  // The case along which the multi-token-prediction head was run; "": there is no such golden.
  const std::string& mtp_prompt() const { return mtp_prompt_; }
  // Parts that need images, of the families whose text part alone is supported; not checked.
  const std::vector<std::string>& left_out() const { return left_out_; }

  // Golden tensors by name. NotFound: none of that name. InvalidArgument: not of that type, or not
  // `num_elements` long (-1: any).
  absl::StatusOr<std::vector<float>> Floats(absl::string_view name,
                                            int64_t num_elements = -1) const;
  absl::StatusOr<std::vector<int64_t>> Ints(absl::string_view name) const;
  absl::StatusOr<std::vector<int64_t>> Shape(absl::string_view name) const;
  bool Has(absl::string_view name) const { return tensors_.Find(name) != nullptr; }

 private:
  explicit Fixture(Checkpoint tensors) : tensors_(std::move(tensors)) {}
  absl::Status ReadDescription(const JsonObject& object);
  // That golden.safetensors is what golden.json says it is.
  absl::Status CheckTensors(const JsonObject& listed) const;
  // Whether the model is the text part of one that also sees.
  bool IsTextPart() const;
  absl::Status ReadTraining(const JsonObject& train);
  absl::Status ReadCases(const Json& cases, absl::string_view file);

  std::filesystem::path folder_;
  Checkpoint tensors_;
  double tolerance_ = 0;
  std::vector<NamedConfig> configs_;
  std::vector<GoldenCase> cases_;
  std::vector<std::string> adapters_;
  std::optional<GoldenTraining> training_;
  std::string mtp_prompt_;
  std::vector<std::string> left_out_;
  int64_t token_yes_ = -1, token_no_ = -1, truncated_dimension_ = 0;
};

}  // namespace oneai::models::golden

#include "models/golden/fixture.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/json/json_reader.h"

namespace oneai::models::golden {
namespace {

constexpr IntRange kTokenId = {0, std::numeric_limits<int32_t>::max()};
constexpr int64_t kFormat = 1;

bool IsFolderName(absl::string_view name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '-';
  });
}

// How golden.json names a dtype.
absl::string_view ListedDType(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "float32";
    case DType::kI64:
      return "int64";
    case DType::kU8:
      return "uint8";
    default:
      return "";
  }
}

absl::StatusOr<CaseKind> ParseKind(absl::string_view kind, absl::string_view name) {
  if (kind == "text") return CaseKind::kText;
  if (kind == "embedding") return CaseKind::kEmbedding;
  if (kind == "rerank") return CaseKind::kRerank;
  if (kind == "scores") return CaseKind::kScores;
  return absl::UnimplementedError(
      absl::StrCat("golden.json: case '", name, "' is of kind '", kind,
                   "'; supported are text, embedding, rerank and scores"));
}

absl::StatusOr<GoldenCase> ParseCase(const Json& value, absl::string_view what,
                                     absl::string_view path) {
  ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(value, what, path));
  GoldenCase result;
  ASSIGN_OR_RETURN(result.name, object.String("name"));
  ASSIGN_OR_RETURN(const std::string kind, object.String("kind"));
  ASSIGN_OR_RETURN(result.kind, ParseKind(kind, result.name));
  ASSIGN_OR_RETURN(result.traced, object.BoolOr("traced", false));
  ASSIGN_OR_RETURN(const std::vector<int64_t> ids, object.IntOrIntList("input_ids", kTokenId));
  if (ids.empty()) return object.Error("input_ids", "a case needs at least one token");
  ASSIGN_OR_RETURN(const int64_t length, object.IntOr("length", static_cast<int64_t>(ids.size())));
  if (length != static_cast<int64_t>(ids.size()))
    return object.Error("length", "is not the number of input_ids");
  result.input_ids.assign(ids.begin(), ids.end());
  return result;
}

absl::StatusOr<std::vector<double>> Doubles(const JsonObject& object, absl::string_view key) {
  const Json* list = object.Find(key);
  std::vector<double> values;
  if (list == nullptr || !list->is_array()) return object.Error(key, "expected a list of numbers");
  for (const Json& value : *list) {
    if (!value.is_number()) return object.Error(key, "expected a list of numbers");
    values.push_back(value.get<double>());
  }
  return values;
}

absl::StatusOr<AdamWSettings> ParseOptimizer(const JsonObject& object) {
  AdamWSettings adamw;
  ASSIGN_OR_RETURN(const std::string name, object.String("name"));
  if (name != "AdamW") {
    return absl::UnimplementedError(
        absl::StrCat("golden.json: optimizer '", name, "'; supported is AdamW"));
  }
  if (object.Has("grad_clip")) {
    return absl::UnimplementedError("golden.json: optimizer with grad_clip is not supported");
  }
  ASSIGN_OR_RETURN(const std::string schedule, object.StringOr("schedule", "constant"));
  if (schedule != "constant") {
    return absl::UnimplementedError(
        absl::StrCat("golden.json: schedule '", schedule, "'; supported is constant"));
  }
  ASSIGN_OR_RETURN(adamw.learning_rate, object.Double("lr"));
  ASSIGN_OR_RETURN(const std::vector<double> betas, Doubles(object, "betas"));
  if (betas.size() != 2) return object.Error("betas", "expected two numbers");
  adamw.beta1 = betas[0], adamw.beta2 = betas[1];
  ASSIGN_OR_RETURN(adamw.epsilon, object.Double("eps"));
  ASSIGN_OR_RETURN(adamw.weight_decay, object.Double("weight_decay"));
  ASSIGN_OR_RETURN(adamw.num_steps, object.Int("steps", {1, 1000}));
  ASSIGN_OR_RETURN(adamw.losses, Doubles(object, "losses"));
  if (static_cast<int64_t>(adamw.losses.size()) != adamw.num_steps + 1) {
    return object.Error("losses", "expected one more than there are steps");
  }
  return adamw;
}

absl::StatusOr<GoldenTraining> ParseTraining(const JsonObject& object) {
  GoldenTraining training;
  ASSIGN_OR_RETURN(training.adapter, object.StringOr("adapter", ""));
  ASSIGN_OR_RETURN(training.loss, object.Double("loss"));
  if (object.Has("grad_norm")) {
    ASSIGN_OR_RETURN(training.grad_norm, object.Double("grad_norm"));
  }
  if (object.Has("aux_loss")) {
    ASSIGN_OR_RETURN(training.aux_loss, object.Double("aux_loss"));
  }
  ASSIGN_OR_RETURN(training.gradients, object.StringListOr("grads", {}));
  if (object.Has("optimizer")) {
    ASSIGN_OR_RETURN(const JsonObject optimizer, object.Object("optimizer"));
    ASSIGN_OR_RETURN(training.optimizer, ParseOptimizer(optimizer));
  }
  return training;
}

// config.json and, when it is there, the form of transformers 5.
absl::StatusOr<std::vector<NamedConfig>> ReadConfigs(const std::filesystem::path& folder) {
  std::vector<NamedConfig> configs;
  for (const char* name : {"config.json", "config.transformers5.json"}) {
    const std::filesystem::path file = folder / name;
    std::error_code ignored;
    if (!configs.empty() && !std::filesystem::exists(file, ignored)) continue;
    ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(file, JsonLimits().bytes_max));
    ASSIGN_OR_RETURN(ModelConfig config, ParseModelConfig(text, file.string()));
    configs.push_back({name, std::move(config)});
  }
  return configs;
}

}  // namespace

absl::StatusOr<Fixture> Fixture::Open(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) {
    return absl::NotFoundError(absl::StrCat("no such folder: ", folder.string()));
  }
  const std::string description_file = (folder / "golden.json").string();
  ASSIGN_OR_RETURN(const Json description, ReadJsonFile(description_file));
  ASSIGN_OR_RETURN(const JsonObject root, JsonObject::From(description, description_file));
  if (root.Has("smart_resize")) {
    return absl::UnimplementedError(
        absl::StrCat(description_file, ": goldens of image processing are not supported"));
  }
  // The configuration before all else: it names the architecture of a folder that is not supported.
  ASSIGN_OR_RETURN(std::vector<NamedConfig> configs, ReadConfigs(folder));
  const std::string tensors_file = (folder / "golden.safetensors").string();
  if (!std::filesystem::exists(tensors_file, ignored)) {
    return absl::NotFoundError(absl::StrCat("no such file: ", tensors_file));
  }
  ASSIGN_OR_RETURN(Checkpoint tensors, Checkpoint::OpenFile(tensors_file));
  Fixture fixture(std::move(tensors));
  fixture.folder_ = folder;
  fixture.configs_ = std::move(configs);
  RETURN_IF_ERROR(fixture.ReadDescription(root));
  return fixture;
}

absl::Status Fixture::ReadDescription(const JsonObject& object) {
  const std::string& file = object.what();
  ASSIGN_OR_RETURN(const int64_t format, object.Int("format"));
  if (format != kFormat)
    return object.Error("format", absl::StrCat("is ", format, "; supported is ", kFormat));
  ASSIGN_OR_RETURN(const std::string dtype, object.StringOr("compute_dtype", "float32"));
  if (dtype != "float32")
    return object.Error("compute_dtype", "only float32 goldens are supported");
  if (object.Has("mtp")) {
    ASSIGN_OR_RETURN(const JsonObject mtp, object.Object("mtp"));
    ASSIGN_OR_RETURN(mtp_prompt_, mtp.String("prompt"));
  }
  if (object.Has("tensors")) {
    ASSIGN_OR_RETURN(const JsonObject tensors, object.Object("tensors"));
    RETURN_IF_ERROR(CheckTensors(tensors));
  }
  ASSIGN_OR_RETURN(const JsonObject tolerance, object.Object("tolerance"));
  ASSIGN_OR_RETURN(tolerance_, tolerance.Double("relative_to_std"));
  if (!(tolerance_ > 0 && tolerance_ <= 0.01))
    return tolerance.Error("relative_to_std", "must be in (0, 0.01]");
  if (object.Has("adapters")) {
    ASSIGN_OR_RETURN(const JsonObject adapters, object.Object("adapters"));
    for (const auto& [name, unused] : adapters.value().items()) {
      if (!IsFolderName(name)) return adapters.Error(name, "is no plain folder name");
      adapters_.push_back(name);
    }
  }
  const Json* cases = object.Find("cases");
  if (cases != nullptr && !cases->is_array()) return object.Error("cases", "expected a list");
  if (cases != nullptr) RETURN_IF_ERROR(ReadCases(*cases, file));
  if (object.Has("train")) {
    ASSIGN_OR_RETURN(const JsonObject train, object.Object("train"));
    RETURN_IF_ERROR(ReadTraining(train));
  }
  if (cases_.empty() && !training_) return object.Error("cases", "there is nothing to check");
  ASSIGN_OR_RETURN(token_yes_, object.IntOr("token_yes", -1, kTokenId));
  ASSIGN_OR_RETURN(token_no_, object.IntOr("token_no", -1, kTokenId));
  ASSIGN_OR_RETURN(truncated_dimension_, object.IntOr("truncated_dimension", 0, {1, 1 << 20}));
  return absl::OkStatus();
}

absl::Status Fixture::CheckTensors(const JsonObject& listed) const {
  const absl::string_view source = tensors_.source();
  for (const auto& [name, unused] : listed.value().items()) {
    ASSIGN_OR_RETURN(const TensorView tensor, tensors_.Get(name));
    ASSIGN_OR_RETURN(const JsonObject entry, listed.Object(name));
    ASSIGN_OR_RETURN(const std::string dtype, entry.String("dtype"));
    ASSIGN_OR_RETURN(const std::vector<int64_t> shape, entry.IntOrIntList("shape"));
    if (ListedDType(tensor.dtype) != dtype || tensor.shape != shape) {
      return absl::InvalidArgumentError(absl::StrCat(source, ": tensor '", name, "' is not the ",
                                                     dtype, " tensor that golden.json describes"));
    }
  }
  if (tensors_.tensors().size() != listed.value().size()) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": holds ", tensors_.tensors().size(),
                                                   " tensors, golden.json describes ",
                                                   listed.value().size()));
  }
  return absl::OkStatus();
}

bool Fixture::IsTextPart() const {
  const ModelFamily family = configs_[0].config.family;
  return family == ModelFamily::kQwen3_5 || family == ModelFamily::kQwen3_5Moe;
}

absl::Status Fixture::ReadTraining(const JsonObject& train) {
  ASSIGN_OR_RETURN(const std::vector<std::string> inputs, train.StringListOr("inputs", {}));
  if (IsTextPart() && std::ranges::find(inputs, "pixel_values") != inputs.end()) {
    left_out_.push_back("train (reads images)");
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(training_, ParseTraining(train));
  if (!training_->adapter.empty() &&
      std::ranges::find(adapters_, training_->adapter) == adapters_.end()) {
    return train.Error("adapter", "is not among the adapters");
  }
  return absl::OkStatus();
}

absl::Status Fixture::ReadCases(const Json& cases, absl::string_view file) {
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::string path = absl::StrCat("cases[", i, "]");
    if (IsTextPart()) {
      ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(cases[i], file, path));
      ASSIGN_OR_RETURN(const std::string kind, object.String("kind"));
      ASSIGN_OR_RETURN(const std::string name, object.String("name"));
      if (kind == "vision") {
        left_out_.push_back(absl::StrCat("case ", name, " (vision)"));
        continue;
      }
    }
    ASSIGN_OR_RETURN(GoldenCase parsed, ParseCase(cases[i], file, path));
    // A case of an adapter is named <adapter>.<prompt>.
    const std::string prefix = parsed.name.substr(0, parsed.name.find('.'));
    if (prefix != parsed.name && std::ranges::find(adapters_, prefix) != adapters_.end()) {
      parsed.adapter = prefix;
    }
    cases_.push_back(std::move(parsed));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> Fixture::Floats(absl::string_view name,
                                                   int64_t num_elements) const {
  ASSIGN_OR_RETURN(const TensorView tensor, tensors_.Get(name));
  if (num_elements >= 0 && tensor.num_elements() != num_elements) {
    return absl::InvalidArgumentError(absl::StrCat(tensors_.source(), ": tensor '", name, "' has ",
                                                   tensor.num_elements(), " elements where ",
                                                   num_elements, " are expected"));
  }
  return ToFloat32(tensor);
}

absl::StatusOr<std::vector<int64_t>> Fixture::Ints(absl::string_view name) const {
  ASSIGN_OR_RETURN(const TensorView tensor, tensors_.Get(name));
  if (tensor.dtype != DType::kI64) {
    return absl::InvalidArgumentError(absl::StrCat(tensors_.source(), ": tensor '", name, "' is ",
                                                   DTypeName(tensor.dtype),
                                                   " where I64 is expected"));
  }
  std::vector<int64_t> values(static_cast<size_t>(tensor.num_elements()));
  if (!values.empty()) std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  return values;
}

absl::StatusOr<std::vector<int64_t>> Fixture::Shape(absl::string_view name) const {
  ASSIGN_OR_RETURN(const TensorView tensor, tensors_.Get(name));
  return tensor.shape;
}

}  // namespace oneai::models::golden

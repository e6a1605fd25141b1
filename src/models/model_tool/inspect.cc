#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "models/model_tool/inspection.h"
#include "models/model_tool/model_file_list.h"
#include "models/quantize/row_stream.h"
#include "models/weights/model_files.h"
#include "models/weights/open_weights.h"

namespace oneai::models {
namespace {

int64_t ElementsOf(const WeightInfo& info) {
  const RowShape rows = RowsOf(info.shape);
  return rows.num_rows * rows.row_elements;
}

bool IsWeightFile(const std::string& name) {
  return absl::EndsWith(name, ".safetensors") || absl::EndsWith(name, ".gguf");
}

OrderedJson TokenizerJson(const std::filesystem::path& path, OrderedJson& problems) {
  const absl::StatusOr<TokenizerFiles> files = LoadTokenizerFiles(path);
  if (!files.ok()) {
    problems.push_back(std::string(files.status().message()));
    return nullptr;
  }
  OrderedJson out = {{"tokens", files->spec.vocab.size()},
                     {"added_tokens", files->spec.added_tokens.size()},
                     {"merges", files->spec.merges.size()},
                     {"chat_template", files->config.chat_template.has_value()}};
  if (files->config.eos_token) out["eos_token"] = *files->config.eos_token;
  return out;
}

// "1,234,567".
std::string Grouped(int64_t value) {
  const std::string digits = absl::StrCat(value);
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out.push_back(',');
    out.push_back(digits[i]);
  }
  return out;
}

std::string Size(int64_t bytes) {
  if (bytes >= 1'000'000'000) return absl::StrFormat("%.2f GB", static_cast<double>(bytes) / 1e9);
  if (bytes >= 1'000'000) return absl::StrFormat("%.1f MB", static_cast<double>(bytes) / 1e6);
  return absl::StrCat(Grouped(bytes), " bytes");
}

// Names and messages come from files of strangers: nothing of them may drive the terminal.
std::string Plain(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

std::string Value(const OrderedJson& value) {
  return Plain(value.is_string()
                   ? value.get<std::string>()
                   : value.dump(-1, ' ', true, OrderedJson::error_handler_t::replace));
}

}  // namespace

absl::StatusOr<OrderedJson> InspectModel(const std::filesystem::path& path, TensorList tensors) {
  ASSIGN_OR_RETURN(const std::vector<ModelFile> files, ListModelFiles(path));
  ASSIGN_OR_RETURN(const auto source, OpenWeights(path));
  OrderedJson problems = OrderedJson::array();
  OrderedJson out = {{"path", path.string()}};
  int64_t weight_bytes = 0;
  out["files"] = OrderedJson::array();
  for (const ModelFile& file : files) {
    const std::string name = file.path.filename().string();
    out["files"].push_back({{"name", name}, {"bytes", file.bytes}});
    if (IsWeightFile(name)) weight_bytes += file.bytes;
  }
  if (const absl::StatusOr<Json> config = LoadConfigJson(path); config.ok()) {
    out["architecture"] = config->value("model_type", "?");
    out["config"] = *config;
  } else {
    problems.push_back(std::string(config.status().message()));
  }
  if (const absl::StatusOr<ModelConfig> config = LoadModelConfigOf(path); !config.ok())
    problems.push_back(std::string(config.status().message()));
  struct Encoding {
    int64_t tensors = 0, elements = 0;
  };
  std::map<std::string, Encoding> encodings;
  int64_t parameters = 0;
  OrderedJson list = OrderedJson::array();
  for (const WeightInfo& info : source->weights()) {
    Encoding& encoding = encodings[info.format];
    ++encoding.tensors;
    encoding.elements += ElementsOf(info);
    parameters += ElementsOf(info);
    if (tensors == TensorList::kInclude)
      list.push_back({{"name", info.name}, {"shape", info.shape}, {"format", info.format}});
  }
  out["parameters"] = parameters;
  out["bytes"] = weight_bytes;
  if (parameters > 0)
    out["bits_per_weight"] =
        8.0 * static_cast<double>(weight_bytes) / static_cast<double>(parameters);
  out["encodings"] = OrderedJson::array();
  for (const auto& [format, encoding] : encodings)
    out["encodings"].push_back(
        {{"format", format}, {"tensors", encoding.tensors}, {"elements", encoding.elements}});
  out["tokenizer"] = TokenizerJson(path, problems);
  out["problems"] = std::move(problems);
  if (tensors == TensorList::kInclude) out["tensors"] = std::move(list);
  return out;
}

std::string InspectionText(const OrderedJson& inspection) {
  std::string text;
  auto line = [&](absl::string_view label, const std::string& value) {
    absl::StrAppend(&text, absl::StrFormat("%-14s %s\n", absl::StrCat(label, ":"), value));
  };
  line("path", Value(inspection["path"]));
  line("weights",
       absl::StrFormat(
           "%s in %d files of %d", Size(inspection["bytes"]),
           std::count_if(inspection["files"].begin(), inspection["files"].end(),
                         [](const OrderedJson& file) { return IsWeightFile(file["name"]); }),
           inspection["files"].size()));
  if (inspection.contains("architecture")) line("architecture", Value(inspection["architecture"]));
  line("parameters", Grouped(inspection["parameters"]));
  if (inspection.contains("bits_per_weight"))
    line("bits/weight", absl::StrFormat("%.2f", inspection["bits_per_weight"].get<double>()));
  for (const OrderedJson& encoding : inspection["encodings"])
    line("encoding",
         absl::StrCat(Value(encoding["format"]), ": ", encoding["tensors"].get<int64_t>(),
                      " tensors, ", Grouped(encoding["elements"]), " numbers"));
  if (inspection["tokenizer"].is_object())
    line("tokenizer",
         absl::StrCat(Grouped(inspection["tokenizer"]["tokens"]), " tokens, ",
                      Grouped(inspection["tokenizer"]["added_tokens"]), " added, ",
                      Grouped(inspection["tokenizer"]["merges"]), " merges, ",
                      inspection["tokenizer"]["chat_template"].get<bool>() ? "a" : "no",
                      " chat template"));
  if (inspection.contains("config")) {
    for (const auto& [key, value] : inspection["config"].items())
      absl::StrAppend(&text, "  ", Plain(key), " = ", Value(value), "\n");
  }
  if (inspection.contains("tensors")) {
    for (const OrderedJson& tensor : inspection["tensors"])
      absl::StrAppend(&text, "  ", Value(tensor["name"]), " ", Value(tensor["shape"]), " ",
                      Value(tensor["format"]), "\n");
  }
  for (const OrderedJson& problem : inspection["problems"]) line("problem", Value(problem));
  return text;
}

}  // namespace oneai::models

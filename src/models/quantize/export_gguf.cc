// Any source -> a GGUF file.
#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/gguf/block_encode.h"
#include "models/gguf/gguf_config.h"
#include "models/gguf/gguf_names.h"
#include "models/gguf/gguf_tokenizer.h"
#include "models/gguf/gguf_writer.h"
#include "models/quantize/export.h"
#include "models/quantize/export_progress.h"
#include "models/quantize/parallel_rows.h"
#include "models/quantize/row_stream.h"
#include "models/weights/model_files.h"
#include "models/weights/open_weights.h"

namespace oneai::models {
namespace {

// A tensor of the file and what it is made of: one weight, or the experts of a stack in order.
struct PlannedTensor {
  GgufTensorSpec spec;
  std::map<int64_t, const WeightInfo*> sources;  // by expert; -1: no stack
  int64_t llama_head_dim = 0;
};

struct Plan {
  std::vector<PlannedTensor> tensors;
  std::vector<std::string> kept;
};

// llama.cpp's number for "mostly this type" (enum llama_ftype).
uint32_t FileType(BlockType type) {
  switch (type) {
    case BlockType::kF32:
      return 0;
    case BlockType::kF16:
      return 1;
    case BlockType::kQ4_0:
      return 2;
    case BlockType::kQ8_0:
      return 7;
    case BlockType::kQ4_K:
      return 14;
    case BlockType::kQ6_K:
      return 18;
    default:
      return 32;  // BF16
  }
}

bool FillsBlocks(BlockType type, int64_t row_elements) {
  return row_elements % TraitsOf(type).elements == 0;
}

// The type of tensor `name`. The output matrix decides every token, so it gets a finer one.
BlockType ChooseType(absl::string_view name, const std::vector<int64_t>& shape, BlockType type,
                     bool is_output) {
  if (shape.size() < 2 || absl::StrContains(name, "ffn_gate_inp")) return BlockType::kF32;
  const int64_t row = shape.back();
  if (is_output && type == BlockType::kQ4_K && FillsBlocks(BlockType::kQ6_K, row))
    return BlockType::kQ6_K;
  if (is_output && type == BlockType::kQ4_0 && FillsBlocks(BlockType::kQ8_0, row))
    return BlockType::kQ8_0;
  if (FillsBlocks(type, row)) return type;
  return FillsBlocks(BlockType::kQ8_0, row) ? BlockType::kQ8_0 : BlockType::kF16;
}

// Files of a bare model lack the prefix.
std::string FullName(const std::string& name) {
  return absl::StartsWith(name, "layers.") || absl::StartsWith(name, "embed_tokens.") ||
                 name == "norm.weight"
             ? absl::StrCat("model.", name)
             : name;
}

absl::Status CheckStacks(const WeightSource& source, const Plan& plan) {
  for (const PlannedTensor& tensor : plan.tensors) {
    const auto& sources = tensor.sources;
    if (sources.begin()->first < 0
            ? sources.size() != 1
            : sources.rbegin()->first + 1 != static_cast<int64_t>(sources.size()))
      return absl::InvalidArgumentError(absl::StrCat(
          source.source(), ": the experts that make up '", tensor.spec.name, "' are not complete"));
    for (const auto& [expert, info] : sources)
      if (info->shape != sources.begin()->second->shape)
        return absl::InvalidArgumentError(absl::StrCat(source.source(), ": tensor '", info->name,
                                                       "': its shape differs from the others'"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Plan> MakePlan(const WeightSource& source, const Json& config, BlockType type) {
  Plan plan;
  std::map<std::string, size_t> index;
  const bool tied = config.value("tie_word_embeddings", false);
  const bool llama = config.value("model_type", "") == "llama";
  const int64_t heads = config.value("num_attention_heads", int64_t{1});
  const int64_t llama_head_dim =
      llama ? config.value("head_dim", config.value("hidden_size", int64_t{0}) / heads) : 0;
  for (const WeightInfo& info : source.weights()) {
    if (absl::EndsWith(info.name, "rotary_emb.inv_freq")) continue;
    if (tied && info.name == "lm_head.weight") continue;
    const std::optional<GgufName> name = ToGgufName(FullName(info.name));
    if (!name)
      return absl::UnimplementedError(absl::StrCat(source.source(), ": tensor '", info.name,
                                                   "' has no name in GGUF that is written"));
    const auto [at, added] = index.emplace(name->name, plan.tensors.size());
    if (added) plan.tensors.push_back({{name->name, info.shape, type}, {}, 0});
    PlannedTensor& tensor = plan.tensors[at->second];
    if (!tensor.sources.emplace(name->expert, &info).second)
      return absl::InvalidArgumentError(
          absl::StrCat(source.source(), ": tensor '", info.name, "' is there twice"));
    if (llama &&
        (absl::StrContains(name->name, ".attn_q.") || absl::StrContains(name->name, ".attn_k.")))
      tensor.llama_head_dim = llama_head_dim;
  }
  RETURN_IF_ERROR(CheckStacks(source, plan));
  for (PlannedTensor& tensor : plan.tensors) {
    GgufTensorSpec& spec = tensor.spec;
    if (tensor.sources.begin()->first >= 0)
      spec.shape.insert(spec.shape.begin(), static_cast<int64_t>(tensor.sources.size()));
    if (absl::StrContains(spec.name, "ffn_gate_inp_shexp")) spec.shape = {spec.shape.back()};
    const bool is_output =
        spec.name == "output.weight" || (tied && spec.name == "token_embd.weight");
    spec.type = ChooseType(spec.name, spec.shape, type, is_output);
    if (spec.type != type && spec.shape.size() > 1 && spec.type != BlockType::kF32)
      plan.kept.push_back(absl::StrCat(spec.name, " as ", TraitsOf(spec.type).name));
  }
  return plan;
}

// Encodes and appends one weight of a tensor.
absl::Status WriteWeight(const WeightSource& source, const WeightInfo& info,
                         const PlannedTensor& tensor, kernels::ThreadPool& threads,
                         ExportProgress& progress, GgufWriter& writer) {
  const int64_t row_elements = RowsOf(info.shape).row_elements;
  ASSIGN_OR_RETURN(const int64_t row_bytes, BlockBytes(tensor.spec.type, row_elements));
  const int64_t head_dim = tensor.llama_head_dim;
  std::vector<std::byte> encoded;
  return ForEachRows(
      source, info, std::max<int64_t>(1, head_dim),
      [&](int64_t, absl::Span<const float> values) -> absl::Status {
        const int64_t num_rows = static_cast<int64_t>(values.size()) / row_elements;
        encoded.resize(num_rows * row_bytes);
        RETURN_IF_ERROR(ParallelRows(threads, num_rows, [&](int64_t begin, int64_t end) {
          for (int64_t row = begin; row < end; ++row) {
            const int64_t stored = head_dim > 0 ? LlamaStoredRow(row, head_dim) : row;
            absl::Status status =
                EncodeBlocks(tensor.spec.type, values.subspan(row * row_elements, row_elements),
                             encoded.data() + stored * row_bytes);
            if (!status.ok()) return Annotate(status, absl::StrCat("row +", row));
          }
          return absl::OkStatus();
        }));
        RETURN_IF_ERROR(writer.Append(tensor.spec.name, encoded));
        progress.Add(static_cast<int64_t>(values.size()));
        return absl::OkStatus();
      });
}

absl::StatusOr<GgufMetadata> MakeMetadata(const std::filesystem::path& path, const Json& config,
                                          BlockType type, const ExportOptions& options) {
  ASSIGN_OR_RETURN(const TokenizerFiles tokenizer, LoadTokenizerFiles(path));
  GgufMetadata metadata;
  const std::optional<std::string> architecture = GgufArchitecture(config.value("model_type", ""));
  metadata.PutText("general.architecture", architecture.value_or(""));
  metadata.PutText("general.type", "model");
  std::string name = options.name;
  if (name.empty()) name = (path.has_filename() ? path : path.parent_path()).stem().string();
  metadata.PutText("general.name", name);
  metadata.PutU32("general.quantization_version", 2);
  metadata.PutU32("general.file_type", FileType(type));
  RETURN_IF_ERROR(PutGgufConfig(config, absl::StrCat(path.string(), "/config.json"), metadata));
  RETURN_IF_ERROR(Annotate(PutGgufTokenizer(tokenizer.spec, tokenizer.config, config, metadata),
                           path.string()));
  return metadata;
}

}  // namespace

absl::StatusOr<ExportReport> ExportGguf(const std::filesystem::path& path,
                                        const std::filesystem::path& target, BlockType type,
                                        const ExportOptions& options) {
  if (!CanEncode(type))
    return absl::UnimplementedError(absl::StrCat(
        TraitsOf(type).name, " is not written; F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q6_K are"));
  std::error_code ignored;
  if (std::filesystem::exists(target, ignored))
    return absl::AlreadyExistsError(absl::StrCat(target.string(), ": is there already"));
  ASSIGN_OR_RETURN(const auto source, OpenWeights(path));
  ASSIGN_OR_RETURN(const Json config, LoadConfigJson(path));
  ASSIGN_OR_RETURN(const GgufMetadata metadata, MakeMetadata(path, config, type, options));
  ASSIGN_OR_RETURN(const Plan plan, MakePlan(*source, config, type));
  std::vector<GgufTensorSpec> specs;
  for (const PlannedTensor& tensor : plan.tensors) specs.push_back(tensor.spec);
  ASSIGN_OR_RETURN(const auto writer, GgufWriter::Create(target, metadata, std::move(specs)));
  kernels::ThreadPool threads(options.num_threads);
  ExportProgress progress(options, *source);
  ExportReport report;
  for (const PlannedTensor& tensor : plan.tensors) {
    for (const auto& [expert, info] : tensor.sources) {
      RETURN_IF_ERROR(WriteWeight(*source, *info, tensor, threads, progress, *writer));
      report.num_elements += ExportProgress::Elements(*info);
    }
  }
  RETURN_IF_ERROR(writer->Commit());
  report.num_tensors = static_cast<int64_t>(plan.tensors.size());
  report.bytes = writer->file_bytes();
  report.kept = plan.kept;
  return report;
}

}  // namespace oneai::models

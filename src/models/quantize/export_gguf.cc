// Any source -> a GGUF file.
#include <algorithm>
#include <map>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/gguf/block_encode.h"
#include "models/gguf/gguf_config.h"
#include "models/gguf/gguf_layout.h"
#include "models/gguf/gguf_tokenizer.h"
#include "models/gguf/gguf_writer.h"
#include "models/gguf/rope_factors.h"
#include "models/quantize/export.h"
#include "models/quantize/export_progress.h"
#include "models/quantize/parallel_rows.h"
#include "models/quantize/row_stream.h"
#include "models/weights/model_files.h"
#include "models/weights/open_weights.h"

namespace oneai::models {
namespace {

constexpr int64_t kElementsAtOnce = 4 << 20;

// Rows of a weight that become rows of a tensor of the file.
struct PlannedRun {
  const WeightInfo* info = nullptr;
  std::shared_ptr<const TensorPlace> place;
  int64_t row = 0, stored_row = 0, num_rows = 0;
};

// A tensor of the file and what it is made of: rows of weights, or numbers that no weight has.
struct PlannedTensor {
  GgufTensorSpec spec;
  std::vector<PlannedRun> runs;  // by stored row, once the plan is whole
  std::vector<float> values;
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

// The type of tensor `name`. The output matrix decides every token, so it gets a finer one;
// llama.cpp wants routers and convolutions in F32.
BlockType ChooseType(absl::string_view name, const std::vector<int64_t>& shape, BlockType type,
                     bool is_output) {
  if (shape.size() < 2 || absl::StrContains(name, "ffn_gate_inp") ||
      absl::StrContains(name, "ssm_conv1d"))
    return BlockType::kF32;
  const int64_t row = shape.back();
  if (is_output && type == BlockType::kQ4_K && FillsBlocks(BlockType::kQ6_K, row))
    return BlockType::kQ6_K;
  if (is_output && type == BlockType::kQ4_0 && FillsBlocks(BlockType::kQ8_0, row))
    return BlockType::kQ8_0;
  if (FillsBlocks(type, row)) return type;
  return FillsBlocks(BlockType::kQ8_0, row) ? BlockType::kQ8_0 : BlockType::kF16;
}

// The name in a file of the language model alone, with the prefix that files of a bare model lack.
std::string FullName(absl::string_view name) {
  constexpr absl::string_view kVisionText = "model.language_model.";
  if (absl::StartsWith(name, kVisionText))
    return absl::StrCat("model.", name.substr(kVisionText.size()));
  const bool bare = absl::StartsWith(name, "layers.") || absl::StartsWith(name, "embed_tokens.") ||
                    name == "norm.weight";
  return absl::StrCat(bare ? "model." : "", name);
}

// Sorts the runs of each tensor and checks that they tile it.
absl::Status CheckRuns(const WeightSource& source, Plan& plan) {
  for (PlannedTensor& tensor : plan.tensors) {
    if (!tensor.values.empty()) continue;
    std::sort(tensor.runs.begin(), tensor.runs.end(),
              [](const PlannedRun& a, const PlannedRun& b) { return a.stored_row < b.stored_row; });
    int64_t num_rows = 1, next = 0;
    for (size_t i = 0; i + 1 < tensor.spec.shape.size(); ++i) num_rows *= tensor.spec.shape[i];
    for (const PlannedRun& run : tensor.runs) {
      if (run.stored_row < next)
        return absl::InvalidArgumentError(
            absl::StrCat(source.source(), ": tensor '", run.info->name, "' is there twice"));
      if (run.stored_row > next) break;
      next += run.num_rows;
    }
    if (next != num_rows)
      return absl::InvalidArgumentError(absl::StrCat(
          source.source(), ": the weights that make up '", tensor.spec.name, "' are not complete"));
  }
  return absl::OkStatus();
}

// Assigns the rows of every weight to tensors of the file.
absl::StatusOr<Plan> PlanRows(const WeightSource& source, const Json& config) {
  Plan plan;
  std::map<std::string, size_t> index;
  const GgufLayout layout = LayoutOf(config);
  int64_t num_vision = 0;
  for (const WeightInfo& info : source.weights()) {
    if (absl::EndsWith(info.name, "rotary_emb.inv_freq")) continue;
    if (config.value("tie_word_embeddings", false) && info.name == "lm_head.weight") continue;
    if (layout.naming.hybrid && absl::StartsWith(info.name, "model.visual.")) {
      ++num_vision;
      continue;
    }
    auto found = PlaceOf(layout, FullName(info.name), info.shape);
    if (!found.ok()) return Annotate(found.status(), source.source());
    if (!*found)
      return absl::UnimplementedError(absl::StrCat(source.source(), ": tensor '", info.name,
                                                   "' has no name in GGUF that is written"));
    const auto place = std::make_shared<const TensorPlace>(**std::move(found));
    for (const RowRun& run : place->runs) {
      const auto [at, added] = index.emplace(run.stored, plan.tensors.size());
      if (added) plan.tensors.push_back({{run.stored, run.stored_shape}, {}, {}});
      PlannedTensor& tensor = plan.tensors[at->second];
      if (tensor.spec.shape != run.stored_shape)
        return absl::InvalidArgumentError(absl::StrCat(source.source(), ": tensor '", info.name,
                                                       "': its shape differs from the others'"));
      tensor.runs.push_back({&info, place, run.row, run.stored_row, run.num_rows});
    }
  }
  if (num_vision > 0)
    plan.kept.push_back(absl::StrCat("the vision tower's ", num_vision, " tensors are left out"));
  RETURN_IF_ERROR(CheckRuns(source, plan));
  return plan;
}

absl::StatusOr<Plan> MakePlan(const WeightSource& source, const Json& config, BlockType type) {
  ASSIGN_OR_RETURN(Plan plan, PlanRows(source, config));
  const bool tied = config.value("tie_word_embeddings", false);
  for (PlannedTensor& tensor : plan.tensors) {
    GgufTensorSpec& spec = tensor.spec;
    const bool is_output =
        spec.name == "output.weight" || (tied && spec.name == "token_embd.weight");
    spec.type = ChooseType(spec.name, spec.shape, type, is_output);
    if (spec.type != type && spec.shape.size() > 1 && spec.type != BlockType::kF32)
      plan.kept.push_back(absl::StrCat(spec.name, " as ", TraitsOf(spec.type).name));
  }
  ASSIGN_OR_RETURN(std::vector<float> factors, RopeFactorsOf(config, "config.json"));
  if (!factors.empty()) {
    const int64_t count = static_cast<int64_t>(factors.size());
    plan.tensors.push_back(
        {{std::string(kRopeFactorsName), {count}, BlockType::kF32}, {}, std::move(factors)});
  }
  return plan;
}

// Encodes rows of `columns` numbers, mapped and in stored order, to `out`.
absl::Status EncodeRows(const TensorPlace& place, BlockType type, absl::Span<const float> values,
                        int64_t columns, kernels::ThreadPool& threads,
                        std::vector<std::byte>& out) {
  ASSIGN_OR_RETURN(const int64_t row_bytes, BlockBytes(type, columns));
  const int64_t num_rows = static_cast<int64_t>(values.size()) / columns;
  const bool straight = place.stored_columns.empty() && place.map == ValueMap::kSame;
  out.resize(num_rows * row_bytes);
  return ParallelRows(threads, num_rows, [&](int64_t begin, int64_t end) {
    std::vector<float> stored(straight ? 0 : columns);
    for (int64_t row = begin; row < end; ++row) {
      absl::Span<const float> numbers = values.subspan(row * columns, columns);
      if (!straight) {
        for (int64_t c = 0; c < columns; ++c)
          stored[place.stored_columns.empty() ? c : place.stored_columns[c]] =
              ToStored(place.map, numbers[c]);
        numbers = stored;
      }
      const int64_t to = place.llama_head_dim > 0 ? LlamaStoredRow(row, place.llama_head_dim) : row;
      absl::Status status = EncodeBlocks(type, numbers, out.data() + to * row_bytes);
      if (!status.ok()) return Annotate(status, absl::StrCat("row +", row));
    }
    return absl::OkStatus();
  });
}

// Encodes and appends one run of a tensor.
absl::Status WriteRun(const WeightSource& source, const PlannedRun& run, const GgufTensorSpec& spec,
                      kernels::ThreadPool& threads, ExportProgress& progress, GgufWriter& writer) {
  const WeightInfo& info = *run.info;
  const int64_t columns = info.shape.back(), elements = ExportProgress::Elements(info);
  // Sources read whole items of the first dim: rows, or experts of a stack.
  const int64_t item_rows = info.shape.size() > 1 ? elements / columns / info.shape[0] : 1;
  const int64_t unit =
      item_rows > 1 ? run.num_rows : std::max<int64_t>(1, run.place->llama_head_dim);
  const int64_t at_once = std::max<int64_t>(1, kElementsAtOnce / (unit * columns)) * unit;
  std::vector<std::byte> encoded;
  for (int64_t done = 0; done < run.num_rows; done += at_once) {
    const int64_t first = run.row + done, count = std::min(at_once, run.num_rows - done);
    const int64_t item = first / item_rows, last_item = (first + count - 1) / item_rows;
    auto wrong = [&](const absl::Status& status) {
      return Annotate(
          status, absl::StrCat(source.source(), ": tensor '", info.name, "': rows from ", first));
    };
    ASSIGN_OR_RETURN(const std::vector<float> values,
                     source.FloatRows(info.name, item, last_item - item + 1));
    absl::Status status = EncodeRows(
        *run.place, spec.type,
        absl::MakeConstSpan(values).subspan((first - item * item_rows) * columns, count * columns),
        columns, threads, encoded);
    if (!status.ok()) return wrong(status);
    RETURN_IF_ERROR(writer.Append(spec.name, encoded));
    progress.Add(count * columns);
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufMetadata> MakeMetadata(const std::filesystem::path& path, const Json& config,
                                          int64_t num_draft_layers, BlockType type,
                                          const ExportOptions& options) {
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
  RETURN_IF_ERROR(PutGgufConfig(config, absl::StrCat(path.string(), "/config.json"),
                                num_draft_layers, metadata));
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
  ASSIGN_OR_RETURN(const Json whole_config, LoadConfigJson(path));
  ASSIGN_OR_RETURN(const Json config, FlattenConfig(whole_config, path.string()));
  const int64_t num_draft_layers = source->Find("mtp.fc.weight") != nullptr ? 1 : 0;
  ASSIGN_OR_RETURN(const GgufMetadata metadata,
                   MakeMetadata(path, config, num_draft_layers, type, options));
  ASSIGN_OR_RETURN(const Plan plan, MakePlan(*source, config, type));
  std::vector<GgufTensorSpec> specs;
  for (const PlannedTensor& tensor : plan.tensors) specs.push_back(tensor.spec);
  ASSIGN_OR_RETURN(const auto writer, GgufWriter::Create(target, metadata, std::move(specs)));
  kernels::ThreadPool threads(options.num_threads);
  ExportProgress progress(options, *source);
  ExportReport report;
  for (const PlannedTensor& tensor : plan.tensors) {
    for (const PlannedRun& run : tensor.runs) {
      RETURN_IF_ERROR(WriteRun(*source, run, tensor.spec, threads, progress, *writer));
      report.num_elements += run.num_rows * run.info->shape.back();
    }
    if (tensor.values.empty()) continue;
    RETURN_IF_ERROR(
        writer->Append(tensor.spec.name,
                       absl::MakeConstSpan(reinterpret_cast<const std::byte*>(tensor.values.data()),
                                           tensor.values.size() * sizeof(float))));
  }
  RETURN_IF_ERROR(writer->Commit());
  report.num_tensors = static_cast<int64_t>(plan.tensors.size());
  report.bytes = writer->file_bytes();
  report.kept = plan.kept;
  return report;
}

}  // namespace oneai::models

// Any source -> a Hugging Face folder: plain, or with GPTQ or FP8 weights.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "models/gguf/block_encode.h"
#include "models/quantize/export.h"
#include "models/quantize/export_progress.h"
#include "models/quantize/model_folder_files.h"
#include "models/quantize/parallel_rows.h"
#include "models/quantize/rounding.h"
#include "models/quantize/row_stream.h"
#include "models/quantize/staged_folder.h"
#include "models/safetensors/checkpoint_writer.h"
#include "models/weights/model_files.h"
#include "models/weights/open_weights.h"

namespace oneai::models {
namespace {

template <typename T>
absl::Span<const std::byte> AsBytes(const std::vector<T>& values) {
  return absl::MakeConstSpan(reinterpret_cast<const std::byte*>(values.data()),
                             values.size() * sizeof(T));
}

// A model on its way from a source to a folder.
struct Export {
  const ExportOptions& options;
  std::shared_ptr<const WeightSource> source;
  Json config;
  std::unique_ptr<StagedFolder> folder;
  kernels::ThreadPool threads;
  ExportProgress progress;
  std::unique_ptr<CheckpointWriter> writer;
  ExportReport report;

  static absl::StatusOr<std::unique_ptr<Export>> Open(const std::filesystem::path& path,
                                                      const std::filesystem::path& target,
                                                      const ExportOptions& options) {
    ASSIGN_OR_RETURN(auto source, OpenWeights(path));
    ASSIGN_OR_RETURN(Json config, LoadConfigJson(path));
    ASSIGN_OR_RETURN(auto folder, StagedFolder::Create(target));
    return std::unique_ptr<Export>(new Export{options,
                                              source,
                                              std::move(config),
                                              std::move(folder),
                                              kernels::ThreadPool(options.num_threads),
                                              ExportProgress(options, *source),
                                              nullptr,
                                              {}});
  }

  absl::Status Begin(std::vector<TensorSpec> specs) {
    for (const TensorSpec& spec : specs) {
      ASSIGN_OR_RETURN(const int64_t bytes, TensorBytes(spec));
      report.bytes += bytes;
    }
    report.num_tensors = static_cast<int64_t>(specs.size());
    ASSIGN_OR_RETURN(writer,
                     CheckpointWriter::Create(folder->path(), std::move(specs),
                                              {.shard_bytes_max = options.shard_bytes_max}));
    return absl::OkStatus();
  }

  // Streams one tensor out as floating point.
  absl::Status CopyPlain(const WeightInfo& info, DType dtype);

  absl::Status Finish(const std::filesystem::path& path) {
    for (const WeightInfo& info : source->weights())
      report.num_elements += ExportProgress::Elements(info);
    RETURN_IF_ERROR(writer->Commit());
    RETURN_IF_ERROR(WriteCompanionFiles(path, config, folder->path()));
    return folder->Commit();
  }
};

absl::Status Export::CopyPlain(const WeightInfo& info, DType dtype) {
  const BlockType type = dtype == DType::kF32   ? BlockType::kF32
                         : dtype == DType::kF16 ? BlockType::kF16
                                                : BlockType::kBF16;
  std::vector<std::byte> encoded;
  return ForEachRows(
      *source, info, 1, [&](int64_t, absl::Span<const float> values) -> absl::Status {
        const int64_t bytes = DTypeBytes(dtype);
        encoded.resize(values.size() * bytes);
        RETURN_IF_ERROR(ParallelRows(threads, static_cast<int64_t>(values.size()),
                                     [&](int64_t begin, int64_t end) {
                                       return EncodeBlocks(type, values.subspan(begin, end - begin),
                                                           encoded.data() + begin * bytes);
                                     }));
        RETURN_IF_ERROR(writer->Append(info.name, encoded));
        progress.Add(static_cast<int64_t>(values.size()));
        return absl::OkStatus();
      });
}

const char* DTypeText(DType dtype) {
  return dtype == DType::kF32 ? "float32" : dtype == DType::kF16 ? "float16" : "bfloat16";
}

// 16 bits as the source has them; float32 becomes bfloat16, but vectors stay as they are.
DType KeptDType(const WeightInfo& info) {
  if (info.encoding == WeightEncoding::kDense && info.dtype == DType::kF16) return DType::kF16;
  if (info.dtype == DType::kF32 && info.shape.size() < 2) return DType::kF32;
  return DType::kBF16;
}

// The projections of a layer: those whose error averages out over many inputs. Routers and the
// small projections of DeltaNet decide alone.
bool IsProjection(const WeightInfo& info) {
  constexpr const char* kKept[] = {"mlp.gate.weight",   "shared_expert_gate.weight",
                                   "in_proj_ba.weight", "in_proj_a.weight",
                                   "in_proj_b.weight",  "conv1d.weight"};
  if (info.shape.size() != 2 || !absl::EndsWith(info.name, ".weight")) return false;
  for (const char* kept : kKept)
    if (absl::EndsWith(info.name, kept)) return false;
  return absl::StrContains(absl::StrCat(".", info.name), ".layers.") ||
         absl::StrContains(absl::StrCat(".", info.name), ".h.");
}

std::string ModuleOf(const WeightInfo& info) {
  return std::string(absl::StripSuffix(info.name, ".weight"));
}

absl::Status WriteGptq(Export& job, const WeightInfo& info, int bits, int64_t group_size) {
  const int64_t n = info.shape[0], k = info.shape[1];
  const int64_t group = group_size < 0 ? k : group_size;
  GptqTensors tensors = MakeGptqTensors(n, k, bits, group);
  RETURN_IF_ERROR(ForEachRows(
      *job.source, info, 1, [&](int64_t first, absl::Span<const float> values) -> absl::Status {
        RETURN_IF_ERROR(ParallelRows(
            job.threads, static_cast<int64_t>(values.size()) / k, [&](int64_t begin, int64_t end) {
              return RoundToGptq(values.subspan(begin * k, (end - begin) * k), first + begin, n, k,
                                 bits, group, tensors);
            }));
        job.progress.Add(static_cast<int64_t>(values.size()));
        return absl::OkStatus();
      }));
  std::vector<int32_t> group_index(k);
  for (int64_t i = 0; i < k; ++i) group_index[i] = static_cast<int32_t>(i / group);
  const std::string module = ModuleOf(info);
  RETURN_IF_ERROR(job.writer->Append(module + ".qweight", AsBytes(tensors.codes)));
  RETURN_IF_ERROR(job.writer->Append(module + ".qzeros", AsBytes(tensors.zeros)));
  RETURN_IF_ERROR(job.writer->Append(module + ".scales", AsBytes(tensors.scales)));
  return job.writer->Append(module + ".g_idx", AsBytes(group_index));
}

absl::Status WriteFloat8(Export& job, const WeightInfo& info) {
  std::vector<float> scales;
  RETURN_IF_ERROR(ForEachRows(
      *job.source, info, kFloat8Tile, [&](int64_t, absl::Span<const float> values) -> absl::Status {
        ASSIGN_OR_RETURN(const TiledFloat8 tiles, RoundToFloat8(values, info.shape[1]));
        scales.insert(scales.end(), tiles.scales.begin(), tiles.scales.end());
        RETURN_IF_ERROR(job.writer->Append(info.name, AsBytes(tiles.bytes)));
        job.progress.Add(static_cast<int64_t>(values.size()));
        return absl::OkStatus();
      }));
  return job.writer->Append(info.name + "_scale_inv", AsBytes(scales));
}

// The group size for all projections, or 0: none of the candidates divides them all.
int64_t CommonGroupSize(const std::vector<const WeightInfo*>& projections) {
  for (const int64_t candidate : {128, 64, 32}) {
    if (std::all_of(projections.begin(), projections.end(),
                    [&](const WeightInfo* info) { return info->shape[1] % candidate == 0; }))
      return candidate;
  }
  return 0;
}

struct Rounding {
  FolderQuantization quantization = FolderQuantization::kInt8;
  int bits = 8;
  int64_t group_size = -1;
};

// Whether the file's layout can hold `info`: words are whole, groups too.
bool Fits(const Rounding& rounding, const WeightInfo& info) {
  if (rounding.quantization == FolderQuantization::kFloat8) return true;
  const int64_t per_word = 32 / rounding.bits;
  return info.shape[0] % per_word == 0 && info.shape[1] % per_word == 0 &&
         (rounding.group_size < 0 || info.shape[1] % rounding.group_size == 0);
}

void AddSpecs(const Rounding& rounding, const WeightInfo& info, std::vector<TensorSpec>& specs) {
  const int64_t n = info.shape[0], k = info.shape[1];
  if (rounding.quantization == FolderQuantization::kFloat8) {
    specs.push_back({info.name, DType::kF8E4M3, info.shape});
    specs.push_back({info.name + "_scale_inv",
                     DType::kF32,
                     {(n + kFloat8Tile - 1) / kFloat8Tile, (k + kFloat8Tile - 1) / kFloat8Tile}});
    return;
  }
  const int64_t per_word = 32 / rounding.bits;
  const int64_t groups = rounding.group_size < 0 ? 1 : k / rounding.group_size;
  const std::string module = ModuleOf(info);
  specs.push_back({module + ".qweight", DType::kI32, {k / per_word, n}});
  specs.push_back({module + ".qzeros", DType::kI32, {groups, n / per_word}});
  specs.push_back({module + ".scales", DType::kF16, {groups, n}});
  specs.push_back({module + ".g_idx", DType::kI32, {k}});
}

Json QuantizationConfig(const Rounding& rounding, const std::vector<std::string>& plain) {
  if (rounding.quantization == FolderQuantization::kFloat8)
    return {{"quant_method", "fp8"},
            {"fmt", "e4m3"},
            {"activation_scheme", "dynamic"},
            {"weight_block_size", {kFloat8Tile, kFloat8Tile}},
            {"modules_to_not_convert", plain}};
  return {{"quant_method", "gptq"},
          {"bits", rounding.bits},
          {"group_size", rounding.group_size},
          {"desc_act", false},
          {"sym", true},
          {"lm_head", false},
          {"checkpoint_format", "gptq"},
          {"modules_to_not_convert", plain}};
}

}  // namespace

absl::StatusOr<ExportReport> ExportFolder(const std::filesystem::path& path,
                                          const std::filesystem::path& target, DType dtype,
                                          const ExportOptions& options) {
  ASSIGN_OR_RETURN(auto job, Export::Open(path, target, options));
  std::vector<TensorSpec> specs;
  for (const WeightInfo& info : job->source->weights())
    specs.push_back({info.name, dtype, info.shape});
  RETURN_IF_ERROR(job->Begin(std::move(specs)));
  for (const WeightInfo& info : job->source->weights())
    RETURN_IF_ERROR(job->CopyPlain(info, dtype));
  job->config.erase("quantization_config");
  job->config[job->config.contains("dtype") ? "dtype" : "torch_dtype"] = DTypeText(dtype);
  RETURN_IF_ERROR(job->Finish(path));
  return job->report;
}

absl::StatusOr<ExportReport> ExportQuantizedFolder(const std::filesystem::path& path,
                                                   const std::filesystem::path& target,
                                                   FolderQuantization quantization,
                                                   int64_t group_size,
                                                   const ExportOptions& options) {
  ASSIGN_OR_RETURN(auto job, Export::Open(path, target, options));
  std::vector<const WeightInfo*> projections;
  for (const WeightInfo& info : job->source->weights()) {
    if (info.encoding != WeightEncoding::kDense)
      return absl::FailedPreconditionError(
          absl::StrCat(job->source->source(), ": tensor '", info.name, "' is ", info.format,
                       " already; quantise the model that it was made from"));
    if (IsProjection(info)) projections.push_back(&info);
  }
  Rounding rounding{quantization, quantization == FolderQuantization::kInt4 ? 4 : 8, -1};
  if (quantization == FolderQuantization::kInt4)
    rounding.group_size = group_size > 0 ? group_size : CommonGroupSize(projections);
  std::vector<TensorSpec> specs;
  std::vector<std::string> plain = {"lm_head"};
  auto rounds = [&](const WeightInfo& info) {
    return IsProjection(info) && rounding.group_size != 0 && Fits(rounding, info);
  };
  bool any = false;
  for (const WeightInfo& info : job->source->weights()) {
    if (rounds(info)) {
      any = true;
      AddSpecs(rounding, info, specs);
      continue;
    }
    specs.push_back({info.name, KeptDType(info), info.shape});
    if (info.shape.size() == 2 && ModuleOf(info) != "lm_head") plain.push_back(ModuleOf(info));
    if (IsProjection(info)) job->report.kept.push_back(info.name + ": its shape is no whole words");
  }
  if (!any)
    return absl::FailedPreconditionError(
        absl::StrCat(job->source->source(), ": no projection can be quantised (group size ",
                     rounding.group_size, ")"));
  RETURN_IF_ERROR(job->Begin(std::move(specs)));
  for (const WeightInfo& info : job->source->weights()) {
    if (!rounds(info)) {
      RETURN_IF_ERROR(job->CopyPlain(info, KeptDType(info)));
    } else if (quantization == FolderQuantization::kFloat8) {
      RETURN_IF_ERROR(WriteFloat8(*job, info));
    } else {
      RETURN_IF_ERROR(WriteGptq(*job, info, rounding.bits, rounding.group_size));
    }
  }
  job->config["quantization_config"] = QuantizationConfig(rounding, plain);
  RETURN_IF_ERROR(job->Finish(path));
  return job->report;
}

}  // namespace oneai::models

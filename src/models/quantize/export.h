// File: models/quantize/export.h
//
// Writes a model in another form: any source that OpenWeights reads becomes a GGUF file, a plain
// Hugging Face folder, or one with int8, int4 or FP8 weights. Tensors stream through; outputs
// appear only when whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/gguf/block_types.h"
#include "models/safetensors/dtype.h"

namespace oneai::models {

struct ExportOptions {
  int num_threads = 0;                      // <= 0: every processor
  int64_t shard_bytes_max = 5'000'000'000;  // of safetensors
  std::string name;                         // general.name of a GGUF file; "" takes the source's
  // Called now and then with elements read and in all; may be null.
  std::function<void(int64_t done, int64_t total)> progress;
};

struct ExportReport {
  int64_t num_tensors = 0, num_elements = 0, bytes = 0;
  std::vector<std::string> kept;  // matrices that stayed as they were or took another type, and why
};

// `target` is a .gguf file; it must not exist. Matrices take `type` (see CanEncode); vectors and
// routers F32; with Q4_K and Q4_0 the output matrix takes Q6_K or Q8_0, as llama.cpp does; matrices
// whose rows are no whole blocks take Q8_0, else F16. Errors of the source, of PutGgufConfig and
// PutGgufTokenizer; AlreadyExists; ResourceExhausted: disk full.
absl::StatusOr<ExportReport> ExportGguf(const std::filesystem::path& source,
                                        const std::filesystem::path& target, BlockType type,
                                        const ExportOptions& options);

// `target` is a folder that does not exist or is empty. All tensors become `dtype` (kF32, kF16,
// kBF16), rounded to nearest. kF16 refuses what a half cannot hold.
absl::StatusOr<ExportReport> ExportFolder(const std::filesystem::path& source,
                                          const std::filesystem::path& target, DType dtype,
                                          const ExportOptions& options);

// What the projections of the layers become; the rest is stored as 16 bits.
enum class FolderQuantization : uint8_t { kInt8, kInt4, kFloat8 };

// kInt8: a scale per output; kInt4: per `group_size` inputs (0: the largest of 128, 64 and 32 that
// divides every matrix); both in the files of GPTQ, symmetric. kFloat8: tiles of 128 x 128 as in
// Qwen3-FP8. FailedPrecondition: the source is quantised already (quantise the original), or no
// matrix can be.
absl::StatusOr<ExportReport> ExportQuantizedFolder(const std::filesystem::path& source,
                                                   const std::filesystem::path& target,
                                                   FolderQuantization quantization,
                                                   int64_t group_size,
                                                   const ExportOptions& options);

}  // namespace oneai::models

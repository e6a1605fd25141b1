#include "models/quantize/random_checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <numbers>

#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "base/status.h"
#include "models/quantize/model_folder_files.h"
#include "models/quantize/parallel_rows.h"
#include "models/quantize/row_stream.h"
#include "models/quantize/staged_folder.h"
#include "models/qwen/weights.h"
#include "models/safetensors/checkpoint_writer.h"
#include "models/safetensors/small_floats.h"
#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/tokenizer_files.h"

namespace oneai::models {
namespace {

constexpr int64_t kElementsAtOnce = 8 << 20;
constexpr char kChatTemplate[] =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a counter in, a random word out.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

// A tensor's elements by index: 16 random bits choose one of 65,536 equally likely quantiles, more
// than bfloat16 tells apart, and several times faster than computing logarithms and cosines.
class Generator {
 public:
  Generator(qwen::Init init, double range, uint64_t stream) : stream_(stream), table_(1 << 16) {
    for (size_t i = 0; i < table_.size(); ++i) {
      const double p = (static_cast<double>(i) + 0.5) / static_cast<double>(table_.size());
      switch (init) {
        case qwen::Init::kNormal:
          table_[i] = static_cast<float>(range * NormalQuantile(p));
          break;
        case qwen::Init::kOnes:
          table_[i] = 1;
          break;
        case qwen::Init::kZeros:
          table_[i] = 0;
          break;
        case qwen::Init::kLogUniform:
          table_[i] = static_cast<float>(std::log(16 * p));
          break;
      }
    }
  }
  float At(int64_t index) const {
    const uint64_t word = Mix(stream_ + static_cast<uint64_t>(index) / 4);
    return table_[word >> (index % 4 * 16) & 0xffff];
  }

 private:
  const uint64_t stream_;
  std::vector<float> table_;
};

void Store(DType dtype, float value, std::byte* out) {
  if (dtype == DType::kF32) {
    std::memcpy(out, &value, sizeof(value));
    return;
  }
  const uint16_t bits = dtype == DType::kF16 ? FloatToHalf(value) : FloatToBfloat16(value);
  std::memcpy(out, &bits, sizeof(bits));
}

absl::Status WriteTensor(const qwen::WeightSpec& spec, const Generator& values, DType dtype,
                         kernels::ThreadPool& threads, CheckpointWriter& writer) {
  const RowShape rows = RowsOf(spec.shape);
  const int64_t num_elements = rows.num_rows * rows.row_elements, bytes = DTypeBytes(dtype);
  std::vector<std::byte> buffer;
  for (int64_t first = 0; first < num_elements; first += kElementsAtOnce) {
    const int64_t count = std::min(kElementsAtOnce, num_elements - first);
    buffer.resize(count * bytes);
    RETURN_IF_ERROR(ParallelRows(threads, count, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        Store(dtype, values.At(first + i), buffer.data() + i * bytes);
      return absl::OkStatus();
    }));
    RETURN_IF_ERROR(writer.Append(spec.name, buffer));
  }
  return absl::OkStatus();
}

// The bytes as tokens, no merges, and Qwen's control tokens.
TokenizerSpec ByteTokenizer(int64_t vocab_size) {
  TokenizerSpec spec;
  for (int byte = 0; byte < 256 && byte < vocab_size; ++byte) {
    const char c = static_cast<char>(byte);
    spec.vocab.emplace_back(SpellBytes(absl::string_view(&c, 1)), byte);
  }
  const TokenId first = vocab_size > 151645 ? 151643 : 256;
  const char* kControl[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  for (TokenId i = 0; i < 3 && first + i < vocab_size; ++i)
    spec.added_tokens.push_back(
        {.id = first + i, .content = kControl[i], .special = true, .normalized = false});
  return spec;
}

absl::Status WriteByteTokenizer(ModelConfig& config, const std::filesystem::path& folder) {
  const TokenizerSpec spec = ByteTokenizer(config.vocab_size);
  TokenizerConfig settings;
  settings.chat_template = kChatTemplate;
  settings.model_max_length = config.max_positions;
  settings.added_tokens = spec.added_tokens;
  if (spec.added_tokens.size() == 3) {
    settings.pad_token = spec.added_tokens[0].content;
    settings.eos_token = spec.added_tokens[2].content;
    config.eos_token_ids = {spec.added_tokens[2].id, spec.added_tokens[0].id};
    config.pad_token_id = spec.added_tokens[0].id;
  }
  return SaveTokenizer(spec, settings, folder);
}

}  // namespace

// Acklam's rational approximation, then one step of Halley's method on erfc.
double NormalQuantile(double p) {
  if (p > 0.5) return -NormalQuantile(1 - p);
  double x = 0;
  if (p < 0.02425) {
    const double q = std::sqrt(-2 * std::log(p));
    x = (((((-7.784894002430293e-03 * q - 3.223964580411365e-01) * q - 2.400758277161838e+00) * q -
           2.549732539343734e+00) *
              q +
          4.374664141464968e+00) *
             q +
         2.938163982698783e+00) /
        ((((7.784695709041462e-03 * q + 3.224671290700398e-01) * q + 2.445134137142996e+00) * q +
          3.754408661907416e+00) *
             q +
         1);
  } else {
    const double q = p - 0.5, r = q * q;
    x = (((((-3.969683028665376e+01 * r + 2.209460984245205e+02) * r - 2.759285104469687e+02) * r +
           1.383577518672690e+02) *
              r -
          3.066479806614716e+01) *
             r +
         2.506628277459239e+00) *
        q /
        (((((-5.447609879822406e+01 * r + 1.615858368580409e+02) * r - 1.556989798598866e+02) * r +
           6.680131188771972e+01) *
              r -
          1.328068155288572e+01) *
             r +
         1);
  }
  const double error = 0.5 * std::erfc(-x / std::numbers::sqrt2) - p;
  const double u = error * std::sqrt(2 * std::numbers::pi) * std::exp(x * x / 2);
  return x - u / (1 + x * u / 2);
}

absl::StatusOr<ExportReport> WriteRandomCheckpoint(const ModelConfig& config, uint64_t seed,
                                                   const std::filesystem::path& tokenizer,
                                                   const std::filesystem::path& target,
                                                   const ExportOptions& options) {
  RETURN_IF_ERROR(ValidateModelConfig(config));
  if (config.num_mtp_layers > 1) {
    return absl::UnimplementedError(
        absl::StrCat("mtp_num_hidden_layers is ", config.num_mtp_layers,
                     ": heads of more than one layer are not known; write 1 or 0"));
  }
  ModelConfig written = config;
  ASSIGN_OR_RETURN(const auto folder, StagedFolder::Create(target));
  std::vector<qwen::WeightSpec> table = qwen::WeightTable(config);
  if (config.num_mtp_layers > 0)
    std::ranges::move(qwen::MtpTable(config), std::back_inserter(table));
  ExportReport report;
  std::vector<TensorSpec> specs;
  for (const qwen::WeightSpec& spec : table) {
    specs.push_back({spec.name, config.dtype, spec.shape});
    const RowShape rows = RowsOf(spec.shape);
    report.num_elements += rows.num_rows * rows.row_elements;
    ASSIGN_OR_RETURN(const int64_t bytes, TensorBytes(specs.back()));
    report.bytes += bytes;
  }
  report.num_tensors = static_cast<int64_t>(specs.size());
  ASSIGN_OR_RETURN(const auto writer,
                   CheckpointWriter::Create(folder->path(), std::move(specs),
                                            {.shard_bytes_max = options.shard_bytes_max}));
  kernels::ThreadPool threads(options.num_threads);
  int64_t done = 0;
  for (size_t i = 0; i < table.size(); ++i) {
    // Streams of different tensors start far apart: no tensor has 2^40 elements.
    const Generator values(table[i].init, config.initializer_range, Mix(Mix(seed) + (i << 40)));
    RETURN_IF_ERROR(WriteTensor(table[i], values, config.dtype, threads, *writer));
    const RowShape rows = RowsOf(table[i].shape);
    done += rows.num_rows * rows.row_elements;
    if (options.progress) options.progress(done, report.num_elements);
  }
  RETURN_IF_ERROR(writer->Commit());
  if (tokenizer.empty()) {
    RETURN_IF_ERROR(WriteByteTokenizer(written, folder->path()));
    RETURN_IF_ERROR(WriteFileAtomically(folder->path() / "config.json", ToHfJson(written)));
  } else {
    ASSIGN_OR_RETURN(const Json json, ParseJson(ToHfJson(written), "config.json"));
    RETURN_IF_ERROR(WriteCompanionFiles(tokenizer, json, folder->path()));
  }
  RETURN_IF_ERROR(folder->Commit());
  return report;
}

}  // namespace oneai::models

#include "models/gguf/gguf_source.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "models/gguf/block_decode.h"
#include "models/gguf/gguf_config.h"
#include "models/gguf/gguf_layout.h"
#include "models/gguf/rope_factors.h"

namespace oneai::models {
namespace {

// Rows of a logical tensor that lie in one stored tensor.
struct StoredRun {
  BlockType type = BlockType::kF32;
  const std::byte* data = nullptr;  // of the stored tensor
  int64_t row = 0, stored_row = 0, num_rows = 0, row_bytes = 0;
};

// Where a logical tensor lies, as a matrix of its last dim's columns.
struct Place {
  std::vector<StoredRun> runs;  // tile the rows, ascending
  int64_t num_rows = 1, row_elements = 1;
  int64_t rows_per_index = 1;  // of the tensor's first dim
  int64_t llama_head_dim = 0;
  std::vector<int32_t> stored_columns;
  ValueMap map = ValueMap::kSame;

  const StoredRun& RunOf(int64_t row) const {
    return *std::prev(
        std::upper_bound(runs.begin(), runs.end(), row,
                         [](int64_t wanted, const StoredRun& run) { return wanted < run.row; }));
  }
  const std::byte* Row(const StoredRun& run, int64_t row) const {
    const int64_t within =
        llama_head_dim > 0 ? LlamaStoredRow(row - run.row, llama_head_dim) : row - run.row;
    return run.data + (run.stored_row + within) * run.row_bytes;
  }
  // Whether the numbers of a run are the stored ones in their order.
  bool is_straight() const {
    return llama_head_dim == 0 && stored_columns.empty() && map == ValueMap::kSame;
  }
};

DType DTypeOf(BlockType type) {
  return type == BlockType::kBF16  ? DType::kBF16
         : type == BlockType::kF16 ? DType::kF16
                                   : DType::kF32;
}

// Codes of one form that can say what all runs of a place say: the finest groups, the most bits.
struct CommonCodes {
  int64_t group = 0;
  int bits = 0;
  bool offsets = false;
};

// nullopt: some run is not quantised, or columns change places within a group.
std::optional<CommonCodes> CodesOf(const Place& place) {
  CommonCodes codes;
  if (place.map != ValueMap::kSame) return std::nullopt;
  for (const StoredRun& run : place.runs) {
    const BlockTraits& traits = TraitsOf(run.type);
    if (!traits.quantized()) return std::nullopt;
    codes.group = codes.group == 0 ? traits.group : std::min(codes.group, traits.group);
    codes.bits = std::max(codes.bits, traits.bits);
    codes.offsets = codes.offsets || traits.offsets;
  }
  const int64_t columns = static_cast<int64_t>(place.stored_columns.size());
  for (int64_t c = 0; c < columns; ++c) {
    const int64_t first = c - c % codes.group;
    if (place.stored_columns[c] != place.stored_columns[first] + c % codes.group ||
        place.stored_columns[first] % codes.group != 0)
      return std::nullopt;
  }
  return codes;
}

class GgufSource final : public WeightSource {
 public:
  explicit GgufSource(std::shared_ptr<const GgufFile> file) : file_(std::move(file)) {}

  absl::Status Index();
  const std::string& source() const override { return file_->path; }
  absl::Span<const WeightInfo> weights() const override { return infos_; }

  absl::StatusOr<DenseWeight> Dense(absl::string_view name) const override {
    ASSIGN_OR_RETURN(const Place* place, Find(name));
    return DecodeRows(name, *place, 0, place->num_rows);
  }
  absl::StatusOr<DenseWeight> DenseRows(absl::string_view name, int64_t first_row,
                                        int64_t num_rows) const override {
    ASSIGN_OR_RETURN(const Place* place, Find(name));
    const int64_t unit = place->rows_per_index, rows = place->num_rows / unit;
    if (first_row < 0 || num_rows < 0 || num_rows > rows - first_row)
      return absl::OutOfRangeError(
          absl::StrCat(source(), ": tensor '", name, "' has ", rows, " rows"));
    return DecodeRows(name, *place, first_row * unit, num_rows * unit);
  }
  absl::StatusOr<QuantizedWeight> Quantized(absl::string_view name) const override;

 private:
  absl::StatusOr<const Place*> Find(absl::string_view name) const {
    const WeightInfo* info = WeightSource::Find(name);
    if (info == nullptr)
      return absl::NotFoundError(absl::StrCat(source(), ": has no tensor '", name, "'"));
    return &places_[info - infos_.data()];
  }
  absl::Status Add(const GgufLayout& layout, const HfTensor& tensor);
  absl::StatusOr<DenseWeight> DecodeRows(absl::string_view name, const Place& place,
                                         int64_t first_row, int64_t num_rows) const;
  absl::Status DecodeRow(const Place& place, int64_t row, absl::Span<float> scratch,
                         absl::Span<float> out) const;

  const std::shared_ptr<const GgufFile> file_;
  absl::flat_hash_map<absl::string_view, const GgufTensor*> stored_;
  std::vector<WeightInfo> infos_;
  std::vector<Place> places_;  // of the info of the same index
};

absl::Status GgufSource::Add(const GgufLayout& layout, const HfTensor& tensor) {
  ASSIGN_OR_RETURN(std::optional<TensorPlace> found, PlaceOf(layout, tensor.name, tensor.shape));
  if (!found)
    return absl::InvalidArgumentError(
        absl::StrCat("tensor '", tensor.name, "': belongs to no part of the architecture"));
  Place place;
  place.row_elements = tensor.shape.back();
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) place.num_rows *= tensor.shape[i];
  if (tensor.shape.size() > 1) place.rows_per_index = place.num_rows / tensor.shape[0];
  place.llama_head_dim = found->llama_head_dim;
  place.stored_columns = std::move(found->stored_columns);
  place.map = found->map;
  std::string format;
  for (const RowRun& run : found->runs) {
    const auto it = stored_.find(run.stored);
    if (it == stored_.end())
      return absl::InvalidArgumentError(absl::StrCat("tensor '", run.stored, "' is missing, which ",
                                                     "makes up a part of '", tensor.name, "'"));
    const GgufTensor& stored = *it->second;
    if (stored.shape != run.stored_shape)
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", stored.name, "' has shape [", absl::StrJoin(stored.shape, ", "),
                       "] where [", absl::StrJoin(run.stored_shape, ", "), "] is expected"));
    ASSIGN_OR_RETURN(const int64_t row_bytes, BlockBytes(stored.type, place.row_elements));
    place.runs.push_back(
        {stored.type, file_->DataOf(stored), run.row, run.stored_row, run.num_rows, row_bytes});
    const absl::string_view type = TraitsOf(stored.type).name;
    if (!absl::StrContains(format, type)) absl::StrAppend(&format, format.empty() ? "" : "+", type);
  }
  const bool quantized = CodesOf(place).has_value();
  const bool one_type = !absl::StrContains(format, '+');
  infos_.push_back({tensor.name, tensor.shape,
                    quantized ? WeightEncoding::kQuantized : WeightEncoding::kDense,
                    one_type ? DTypeOf(place.runs[0].type) : DType::kF32, std::move(format)});
  places_.push_back(std::move(place));
  return absl::OkStatus();
}

absl::Status GgufSource::Index() {
  ASSIGN_OR_RETURN(const Json config, ConfigFromGguf(*file_));
  GgufLayout layout = LayoutOf(config);
  for (const GgufTensor& tensor : file_->header.tensors) {
    stored_.emplace(tensor.name, &tensor);
    layout.fused_gate_up |= absl::StrContains(tensor.name, ".ffn_gate_up_exps.");
    layout.whole_qkvz |= absl::EndsWith(tensor.name, ".ssm_in.weight");
  }
  std::map<std::string, std::vector<int64_t>> tensors;
  for (const GgufTensor& tensor : file_->header.tensors) {
    if (tensor.name == kRopeFactorsName) continue;  // ConfigFromGguf has read it
    absl::StatusOr<std::vector<HfTensor>> parts = HfTensorsOf(layout, tensor.name, tensor.shape);
    if (!parts.ok()) return Annotate(parts.status(), source());
    if (parts->empty())
      return absl::InvalidArgumentError(
          absl::StrCat(source(), ": tensor '", tensor.name,
                       "': belongs to no part of the architectures that are read"));
    for (HfTensor& part : *parts) {
      const auto [it, added] = tensors.try_emplace(std::move(part.name), part.shape);
      if (!added && it->second != part.shape)
        return absl::InvalidArgumentError(
            absl::StrCat(source(), ": tensor '", tensor.name,
                         "': its shape does not fit the other parts of '", it->first, "'"));
    }
  }
  for (const auto& [name, shape] : tensors)
    RETURN_IF_ERROR(Annotate(Add(layout, {name, shape}), source()));
  return absl::OkStatus();
}

absl::Status GgufSource::DecodeRow(const Place& place, int64_t row, absl::Span<float> scratch,
                                   absl::Span<float> out) const {
  const StoredRun& run = place.RunOf(row);
  const absl::Span<float> stored = place.stored_columns.empty() ? out : scratch;
  RETURN_IF_ERROR(DecodeToFloat(run.type, place.Row(run, row), stored));
  for (size_t c = 0; c < place.stored_columns.size(); ++c) out[c] = stored[place.stored_columns[c]];
  if (place.map == ValueMap::kSame) return absl::OkStatus();
  for (size_t c = 0; c < out.size(); ++c) {
    const float value = FromStored(place.map, out[c]);
    if (!std::isfinite(value))
      return absl::InvalidArgumentError(
          absl::StrCat("number ", c, " is ", out[c], ", which cannot be mapped back"));
    out[c] = value;
  }
  return absl::OkStatus();
}

absl::StatusOr<DenseWeight> GgufSource::DecodeRows(absl::string_view name, const Place& place,
                                                   int64_t first_row, int64_t num_rows) const {
  if (num_rows > 0) {
    const StoredRun& run = place.RunOf(first_row);
    DenseWeight dense{DTypeOf(run.type), place.Row(run, first_row), {}};
    const bool aligned = reinterpret_cast<uintptr_t>(dense.data) % DTypeBytes(dense.dtype) == 0;
    if (!TraitsOf(run.type).quantized() && place.is_straight() && aligned &&
        first_row + num_rows <= run.row + run.num_rows)
      return dense;
  }
  DenseWeight dense;
  dense.owned.resize(num_rows * place.row_elements);
  dense.data = reinterpret_cast<const std::byte*>(dense.owned.data());
  std::vector<float> scratch(place.stored_columns.size());
  for (int64_t row = 0; row < num_rows; ++row) {
    const absl::Span<float> out(dense.owned.data() + row * place.row_elements, place.row_elements);
    absl::Status status = DecodeRow(place, first_row + row, absl::MakeSpan(scratch), out);
    if (!status.ok())
      return Annotate(status,
                      absl::StrCat(source(), ": tensor '", name, "': row ", first_row + row));
  }
  return dense;
}

absl::StatusOr<QuantizedWeight> GgufSource::Quantized(absl::string_view name) const {
  ASSIGN_OR_RETURN(const Place* place, Find(name));
  const std::optional<CommonCodes> codes = CodesOf(*place);
  if (!codes)
    return absl::FailedPreconditionError(absl::StrCat(source(), ": tensor '", name, "' is ",
                                                      WeightSource::Find(name)->format,
                                                      ", not codes that can be taken as they are"));
  QuantizedWeight weight;
  weight.n = place->num_rows;
  weight.k = place->row_elements;
  weight.group_size = codes->group;
  weight.bits = codes->bits;
  const int64_t row_groups = weight.k / codes->group;
  weight.codes.resize(weight.n * weight.k);
  weight.scales.resize(weight.n * row_groups);
  if (codes->offsets) weight.offsets.resize(weight.n * row_groups);
  std::vector<int8_t> row_codes(weight.k);
  std::vector<float> scales(row_groups), offsets(row_groups);
  for (int64_t row = 0; row < weight.n; ++row) {
    const StoredRun& run = place->RunOf(row);
    const BlockTraits& traits = TraitsOf(run.type);
    absl::Status status = DecodeBlocks(run.type, place->Row(run, row), weight.k, row_codes.data(),
                                       scales.data(), traits.offsets ? offsets.data() : nullptr);
    if (!status.ok())
      return Annotate(status, absl::StrCat(source(), ": tensor '", name, "': row ", row));
    for (int64_t g = 0; g < row_groups; ++g) {
      const int64_t column = g * codes->group;
      const int64_t from = place->stored_columns.empty() ? column : place->stored_columns[column];
      std::copy_n(row_codes.begin() + from, codes->group,
                  weight.codes.begin() + row * weight.k + column);
      weight.scales[row * row_groups + g] = scales[from / traits.group];
      if (traits.offsets) weight.offsets[row * row_groups + g] = offsets[from / traits.group];
    }
  }
  return weight;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const WeightSource>> OpenGgufSource(
    std::shared_ptr<const GgufFile> file) {
  auto source = std::make_shared<GgufSource>(std::move(file));
  RETURN_IF_ERROR(source->Index());
  return source;
}

}  // namespace oneai::models

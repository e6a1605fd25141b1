#include "models/gguf/gguf_source.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"
#include "models/gguf/block_decode.h"
#include "models/gguf/gguf_config.h"
#include "models/gguf/gguf_names.h"

namespace oneai::models {
namespace {

// Where a logical tensor lies. A vector is one row.
struct Place {
  BlockType type = BlockType::kF32;
  const std::byte* data = nullptr;
  int64_t num_rows = 1, row_elements = 1, row_bytes = 0;
  int64_t llama_head_dim = 0;  // > 0: the rows are stored in llama's order

  const std::byte* Row(int64_t row) const {
    const int64_t stored = llama_head_dim > 0 ? LlamaStoredRow(row, llama_head_dim) : row;
    return data + stored * row_bytes;
  }
};

DType DTypeOf(BlockType type) {
  return type == BlockType::kBF16  ? DType::kBF16
         : type == BlockType::kF16 ? DType::kF16
                                   : DType::kF32;
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
    if (first_row < 0 || num_rows < 0 || num_rows > place->num_rows - first_row)
      return absl::OutOfRangeError(
          absl::StrCat(source(), ": tensor '", name, "' has ", place->num_rows, " rows"));
    return DecodeRows(name, *place, first_row, num_rows);
  }
  absl::StatusOr<QuantizedWeight> Quantized(absl::string_view name) const override;

 private:
  absl::StatusOr<const Place*> Find(absl::string_view name) const {
    const WeightInfo* info = WeightSource::Find(name);
    if (info == nullptr)
      return absl::NotFoundError(absl::StrCat(source(), ": has no tensor '", name, "'"));
    return &places_[info - infos_.data()];
  }
  absl::Status Add(const GgufTensor& tensor, std::string name, std::vector<int64_t> shape,
                   const std::byte* data, int64_t llama_head_dim);
  absl::StatusOr<DenseWeight> DecodeRows(absl::string_view name, const Place& place,
                                         int64_t first_row, int64_t num_rows) const;

  const std::shared_ptr<const GgufFile> file_;
  std::vector<WeightInfo> infos_;
  std::vector<Place> places_;  // of the info of the same index
};

absl::Status GgufSource::Add(const GgufTensor& tensor, std::string name, std::vector<int64_t> shape,
                             const std::byte* data, int64_t llama_head_dim) {
  Place place{tensor.type, data, 1, shape.back(), 0, 0};
  if (shape.size() == 2) place.num_rows = shape[0];
  ASSIGN_OR_RETURN(place.row_bytes, BlockBytes(tensor.type, place.row_elements));
  const bool rotated = absl::EndsWith(name, "self_attn.q_proj.weight") ||
                       absl::EndsWith(name, "self_attn.k_proj.weight");
  if (llama_head_dim > 0 && absl::StrContains(name, "self_attn.") &&
      (absl::EndsWith(name, "q_proj.bias") || absl::EndsWith(name, "k_proj.bias")))
    return absl::UnimplementedError(absl::StrCat(source(), ": tensor '", tensor.name,
                                                 "': biases of llama's q and k are not read"));
  if (llama_head_dim > 0 && rotated) {
    if (place.num_rows % llama_head_dim != 0)
      return absl::InvalidArgumentError(
          absl::StrCat(source(), ": tensor '", tensor.name, "': ", place.num_rows,
                       " rows are no whole heads of ", llama_head_dim));
    place.llama_head_dim = llama_head_dim;
  }
  const BlockTraits& traits = TraitsOf(tensor.type);
  infos_.push_back({std::move(name), std::move(shape),
                    traits.quantized() ? WeightEncoding::kQuantized : WeightEncoding::kDense,
                    DTypeOf(tensor.type), std::string(traits.name)});
  places_.push_back(place);
  return absl::OkStatus();
}

absl::Status GgufSource::Index() {
  ASSIGN_OR_RETURN(const Json config, ConfigFromGguf(file_->header, source()));
  const int64_t llama_head_dim =
      config["model_type"] == "llama" ? config["head_dim"].get<int64_t>() : 0;
  for (const GgufTensor& tensor : file_->header.tensors) {
    const std::optional<HfName> name = ToHfName(tensor.name);
    auto bad = [&](absl::string_view message) {
      return absl::InvalidArgumentError(
          absl::StrCat(source(), ": tensor '", tensor.name, "': ", message));
    };
    if (!name) return bad("belongs to no part of the architectures that are read");
    std::vector<int64_t> shape = tensor.shape;
    const std::byte* const data = file_->DataOf(tensor);
    if (!name->experts) {
      if (shape.size() > 2) return bad("has more than 2 dims");
      // The gate of the shared expert is a matrix of one row in Hugging Face files.
      if (absl::EndsWith(name->name, "shared_expert_gate.weight") && shape.size() == 1)
        shape.insert(shape.begin(), 1);
      RETURN_IF_ERROR(Add(tensor, name->name, std::move(shape), data, llama_head_dim));
      continue;
    }
    if (shape.size() != 3) return bad("a stack of experts has 3 dims");
    if (config.value("num_experts", int64_t{0}) != shape[0])
      return bad(absl::StrCat("holds ", shape[0], " experts, expert_count says otherwise"));
    const int64_t expert_bytes = tensor.bytes / shape[0];
    for (int64_t expert = 0; expert < shape[0]; ++expert)
      RETURN_IF_ERROR(Add(tensor, absl::StrReplaceAll(name->name, {{"*", absl::StrCat(expert)}}),
                          {shape[1], shape[2]}, data + expert * expert_bytes, 0));
  }
  // Sort both by name.
  std::vector<size_t> order(infos_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [this](size_t a, size_t b) { return infos_[a].name < infos_[b].name; });
  std::vector<WeightInfo> infos;
  std::vector<Place> places;
  for (const size_t i : order) {
    if (!infos.empty() && infos.back().name == infos_[i].name)
      return absl::InvalidArgumentError(
          absl::StrCat(source(), ": tensor '", infos_[i].name, "' is stored twice"));
    infos.push_back(std::move(infos_[i]));
    places.push_back(places_[i]);
  }
  infos_ = std::move(infos);
  places_ = std::move(places);
  return absl::OkStatus();
}

absl::StatusOr<DenseWeight> GgufSource::DecodeRows(absl::string_view name, const Place& place,
                                                   int64_t first_row, int64_t num_rows) const {
  DenseWeight dense{DTypeOf(place.type), place.data + first_row * place.row_bytes, {}};
  const bool plain = !TraitsOf(place.type).quantized();
  const bool aligned = reinterpret_cast<uintptr_t>(dense.data) % DTypeBytes(dense.dtype) == 0;
  if (plain && place.llama_head_dim == 0 && aligned) return dense;
  dense.dtype = DType::kF32;
  dense.owned.resize(num_rows * place.row_elements);
  dense.data = reinterpret_cast<const std::byte*>(dense.owned.data());
  for (int64_t row = 0; row < num_rows; ++row) {
    const absl::Span<float> out(dense.owned.data() + row * place.row_elements, place.row_elements);
    absl::Status status = DecodeToFloat(place.type, place.Row(first_row + row), out);
    if (!status.ok())
      return Annotate(status,
                      absl::StrCat(source(), ": tensor '", name, "': row ", first_row + row));
  }
  return dense;
}

absl::StatusOr<QuantizedWeight> GgufSource::Quantized(absl::string_view name) const {
  ASSIGN_OR_RETURN(const Place* place, Find(name));
  const BlockTraits& traits = TraitsOf(place->type);
  if (!traits.quantized())
    return absl::FailedPreconditionError(
        absl::StrCat(source(), ": tensor '", name, "' is ", traits.name, ", not quantised"));
  QuantizedWeight weight;
  weight.n = place->num_rows;
  weight.k = place->row_elements;
  weight.group_size = traits.group;
  weight.bits = traits.bits;
  const int64_t row_groups = weight.k / traits.group;
  weight.codes.resize(weight.n * weight.k);
  weight.scales.resize(weight.n * row_groups);
  if (traits.offsets) weight.offsets.resize(weight.n * row_groups);
  for (int64_t row = 0; row < weight.n; ++row) {
    absl::Status status =
        DecodeBlocks(place->type, place->Row(row), weight.k, weight.codes.data() + row * weight.k,
                     weight.scales.data() + row * row_groups,
                     traits.offsets ? weight.offsets.data() + row * row_groups : nullptr);
    if (!status.ok())
      return Annotate(status, absl::StrCat(source(), ": tensor '", name, "': row ", row));
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

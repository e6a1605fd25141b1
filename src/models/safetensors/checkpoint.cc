#include "models/safetensors/checkpoint.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/json/json_reader.h"
#include "models/safetensors/safetensors_header.h"
#include "models/safetensors/small_floats.h"

namespace oneai::models {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";
constexpr int kShardsMax = 4096;

// A shard is a plain file name next to the index. (It may be a symbolic link: download caches are
// made of them.)
bool IsPlainShardName(absl::string_view name) {
  return absl::EndsWith(name, ".safetensors") && name.size() <= 255 && name[0] != '.' &&
         !absl::StrContains(name, '/') && !absl::StrContains(name, '\\') &&
         !absl::StrContains(name, absl::string_view("\0", 1));
}

template <typename T>
T Load(const std::byte* data, size_t index) {
  T value;
  std::memcpy(&value, data + index * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

static_assert(std::endian::native == std::endian::little, "safetensors data are used in place");

absl::Status Checkpoint::AddFile(const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> mapping, MappedFile::Open(file));
  ASSIGN_OR_RETURN(SafetensorsHeader header,
                   ParseSafetensorsHeader(mapping->text(), mapping->size(), file.string()));
  for (TensorEntry& entry : header.tensors) {
    const absl::Span<const std::byte> data(mapping->data() + entry.begin, entry.end - entry.begin);
    tensors_.push_back(
        {std::move(entry.spec.name), entry.spec.dtype, std::move(entry.spec.shape), data});
    file_of_.push_back(file.filename().string());
    total_bytes_ += entry.end - entry.begin;
  }
  metadata_.merge(header.metadata);
  mappings_.push_back(std::move(mapping));
  return absl::OkStatus();
}

absl::Status Checkpoint::Index() {
  absl::flat_hash_map<absl::string_view, size_t> seen;
  for (size_t i = 0; i < tensors_.size(); ++i)
    if (auto [it, inserted] = seen.emplace(tensors_[i].name, i); !inserted)
      return absl::InvalidArgumentError(absl::StrCat(source_, ": tensor '", tensors_[i].name,
                                                     "' is in both ", file_of_[it->second], " and ",
                                                     file_of_[i]));
  std::sort(tensors_.begin(), tensors_.end(),
            [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
  for (size_t i = 0; i < tensors_.size(); ++i) by_name_[tensors_[i].name] = i;
  file_of_.clear();
  return absl::OkStatus();
}

absl::StatusOr<Checkpoint> Checkpoint::OpenFile(const std::filesystem::path& file) {
  Checkpoint checkpoint;
  checkpoint.source_ = file.string();
  RETURN_IF_ERROR(checkpoint.AddFile(file));
  RETURN_IF_ERROR(checkpoint.Index());
  return checkpoint;
}

absl::StatusOr<Checkpoint> Checkpoint::Open(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (std::filesystem::exists(folder / kSingleFile, ignored)) return OpenFile(folder / kSingleFile);
  const std::filesystem::path index = folder / kIndexFile;
  if (!std::filesystem::exists(index, ignored))
    return absl::NotFoundError(absl::StrCat(folder.string(), ": has neither ", kSingleFile, " nor ",
                                            kIndexFile, "; is it a model folder?"));
  ASSIGN_OR_RETURN(Json json,
                   ReadJsonFile(index, {.bytes_max = 100 << 20, .values_max = 4'000'000}));
  ASSIGN_OR_RETURN(JsonObject root, JsonObject::From(json, index.string()));
  ASSIGN_OR_RETURN(JsonObject weight_map, root.Object("weight_map"));
  std::set<std::string> shards;
  for (const auto& [name, shard] : weight_map.value().items()) {
    if (!shard.is_string() || !IsPlainShardName(shard.get_ref<const std::string&>()))
      return weight_map.Error(
          name, absl::StrCat("must name a .safetensors file in the same folder, found ",
                             shard.dump(-1, ' ', true).substr(0, 80)));
    shards.insert(shard.get<std::string>());
  }
  if (shards.size() > kShardsMax)
    return root.Error("weight_map", absl::StrCat("names more than ", kShardsMax, " shards"));
  Checkpoint checkpoint;
  checkpoint.source_ = folder.string();
  for (const std::string& shard : shards) RETURN_IF_ERROR(checkpoint.AddFile(folder / shard));
  for (size_t i = 0; i < checkpoint.tensors_.size(); ++i) {
    const Json* shard = weight_map.Find(checkpoint.tensors_[i].name);
    if (shard == nullptr || *shard != checkpoint.file_of_[i])
      return root.Error("weight_map",
                        absl::StrCat("does not place tensor '", checkpoint.tensors_[i].name,
                                     "' in ", checkpoint.file_of_[i], ", where it is"));
  }
  RETURN_IF_ERROR(checkpoint.Index());
  for (const auto& [name, shard] : weight_map.value().items())
    if (checkpoint.Find(name) == nullptr)
      return weight_map.Error(name, absl::StrCat("no such tensor in ", shard.get<std::string>()));
  return checkpoint;
}

const TensorView* Checkpoint::Find(absl::string_view name) const {
  auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &tensors_[it->second];
}

absl::StatusOr<TensorView> Checkpoint::Get(absl::string_view name) const {
  if (const TensorView* tensor = Find(name)) return *tensor;
  return absl::NotFoundError(absl::StrCat(source_, ": has no tensor '", name, "'"));
}

absl::Status Checkpoint::Replace(absl::string_view name, std::vector<float> values) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end())
    return absl::NotFoundError(absl::StrCat(source_, ": has no tensor '", name, "' to replace"));
  TensorView& tensor = tensors_[found->second];
  if (tensor.num_elements() != static_cast<int64_t>(values.size()))
    return absl::InvalidArgumentError(absl::StrCat(source_, ": tensor '", name, "' has ",
                                                   tensor.num_elements(), " elements, not ",
                                                   values.size()));
  replaced_.push_back(std::make_shared<const std::vector<float>>(std::move(values)));
  const std::vector<float>& kept = *replaced_.back();
  total_bytes_ -= static_cast<int64_t>(tensor.data.size());
  tensor.dtype = DType::kF32;
  tensor.data = absl::MakeConstSpan(reinterpret_cast<const std::byte*>(kept.data()),
                                    kept.size() * sizeof(float));
  total_bytes_ += static_cast<int64_t>(tensor.data.size());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> ToFloat32(const TensorView& tensor) {
  std::vector<float> out(tensor.num_elements());
  const std::byte* data = tensor.data.data();
  switch (tensor.dtype) {
    case DType::kF32:
      if (!out.empty()) std::memcpy(out.data(), data, tensor.data.size());
      return out;
    case DType::kBF16:
      for (size_t i = 0; i < out.size(); ++i) out[i] = Bfloat16ToFloat(Load<uint16_t>(data, i));
      return out;
    case DType::kF16:
      for (size_t i = 0; i < out.size(); ++i) out[i] = HalfToFloat(Load<uint16_t>(data, i));
      return out;
    case DType::kF64:
      for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(Load<double>(data, i));
      return out;
    case DType::kI64:
    case DType::kI32:
    case DType::kI16:
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
      break;
    case DType::kF8E4M3:
    case DType::kF8E5M2:
      return absl::InvalidArgumentError(absl::StrCat("tensor '", tensor.name,
                                                     "': ", DTypeName(tensor.dtype),
                                                     " means nothing without its scales"));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "tensor '", tensor.name, "': ", DTypeName(tensor.dtype), " is not a floating-point dtype"));
}

}  // namespace oneai::models

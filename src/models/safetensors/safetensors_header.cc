#include "models/safetensors/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "models/json/json_reader.h"

namespace oneai::models {
namespace {

constexpr char kMetadataKey[] = "__metadata__";
// A tensor takes about ten JSON values: room for 400,000 tensors, and a bound on memory.
constexpr JsonLimits kHeaderLimits = {
    .bytes_max = kSafetensorsHeaderBytesMax, .values_max = 4'000'000, .depth_max = 8};

absl::Status Bad(absl::string_view file, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(file, ": ", message));
}

absl::Status BadTensor(absl::string_view file, absl::string_view tensor,
                       absl::string_view message) {
  return Bad(file, absl::StrCat("tensor '", tensor.substr(0, 200), "': ", message));
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// Reads a list of at most `max` integers >= 0.
absl::StatusOr<std::vector<int64_t>> NaturalList(const Json* value, size_t max) {
  if (value == nullptr || !value->is_array() || value->size() > max)
    return absl::InvalidArgumentError(absl::StrCat("must be a list of at most ", max, " integers"));
  std::vector<int64_t> list;
  for (const Json& item : *value) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
      return absl::InvalidArgumentError("must hold integers from 0 to 2^63 - 1");
    list.push_back(item.get<int64_t>());
  }
  return list;
}

absl::StatusOr<TensorEntry> ParseEntry(const std::string& name, const Json& value,
                                       int64_t data_begin, int64_t file_bytes,
                                       absl::string_view file) {
  auto bad = [&](absl::string_view message) { return BadTensor(file, name, message); };
  if (!value.is_object()) return bad("its entry must be an object");
  for (const auto& [key, unused] : value.items())
    if (key != "dtype" && key != "shape" && key != "data_offsets")
      return bad(absl::StrCat("unknown key '", key.substr(0, 60), "'"));
  auto field = [&](const char* key) { return value.contains(key) ? &value.at(key) : nullptr; };
  const Json* dtype_name = field("dtype");
  if (dtype_name == nullptr || !dtype_name->is_string()) return bad("'dtype' must be a string");
  const std::optional<DType> dtype = ParseDType(dtype_name->get_ref<const std::string&>());
  if (!dtype.has_value())
    return bad(absl::StrCat(
        "dtype ", dtype_name->dump().substr(0, 40),
        " is not supported (F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL F8_E4M3 F8_E5M2 are)"));
  absl::StatusOr<std::vector<int64_t>> shape = NaturalList(field("shape"), kTensorDimsMax);
  if (!shape.ok()) return bad(absl::StrCat("'shape' ", shape.status().message()));
  absl::StatusOr<std::vector<int64_t>> offsets = NaturalList(field("data_offsets"), 2);
  if (!offsets.ok()) return bad(absl::StrCat("'data_offsets' ", offsets.status().message()));
  if (offsets->size() != 2) return bad("'data_offsets' must be [begin, end]");
  const int64_t begin = (*offsets)[0], end = (*offsets)[1], data_bytes = file_bytes - data_begin;
  if (begin > end) return bad(absl::StrCat("data_offsets ", begin, " > ", end));
  if (end > data_bytes)
    return bad(absl::StrCat("data_offsets end ", end, " lies beyond the ", data_bytes,
                            " data bytes of the file (truncated?)"));
  TensorEntry entry{{name, *dtype, *std::move(shape)}, data_begin + begin, data_begin + end};
  absl::StatusOr<int64_t> bytes = TensorBytes(entry.spec);
  if (!bytes.ok()) return bad(bytes.status().message());
  if (*bytes != end - begin)
    return bad(absl::StrCat("shape ", ShapeText(entry.spec.shape), " of ", DTypeName(*dtype),
                            " takes ", *bytes, " bytes but data_offsets hold ", end - begin));
  return entry;
}

absl::Status ParseMetadata(const Json& value, absl::string_view file, SafetensorsHeader& header) {
  if (!value.is_object()) return Bad(file, "'__metadata__' must be an object of strings");
  for (const auto& [key, item] : value.items()) {
    if (!item.is_string())
      return Bad(file, absl::StrCat("'__metadata__.", key.substr(0, 60), "' must be a string"));
    header.metadata[key] = item.get<std::string>();
  }
  return absl::OkStatus();
}

// Sorted by offset, every tensor must begin where the one before it ended.
absl::Status CheckCover(const SafetensorsHeader& header, int64_t file_bytes,
                        absl::string_view file) {
  int64_t expected = header.data_begin;
  for (const TensorEntry& entry : header.tensors) {
    if (entry.begin != expected)
      return BadTensor(
          file, entry.spec.name,
          absl::StrCat(
              entry.begin < expected ? "overlaps the tensor before it" : "leaves a hole before it",
              " (data begin at byte ", entry.begin, ", expected ", expected, ")"));
    expected = entry.end;
  }
  if (expected != file_bytes)
    return Bad(file,
               absl::StrCat("tensors end at byte ", expected, " but the file has ", file_bytes));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> TensorBytes(const TensorSpec& spec) {
  if (spec.shape.size() > kTensorDimsMax)
    return absl::InvalidArgumentError(
        absl::StrCat(spec.shape.size(), " dims; at most ", kTensorDimsMax, " are supported"));
  int64_t bytes = DTypeBytes(spec.dtype);
  for (int64_t extent : spec.shape) {
    if (extent < 0) return absl::InvalidArgumentError("negative extent in shape");
    if (__builtin_mul_overflow(bytes, extent, &bytes))
      return absl::InvalidArgumentError(
          absl::StrCat("shape ", ShapeText(spec.shape), " overflows 64 bits"));
  }
  return bytes;
}

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view head, int64_t file_bytes,
                                                         absl::string_view file) {
  if (file_bytes < 8 || head.size() < 8)
    return Bad(file, absl::StrCat(file_bytes, " bytes are too few for a safetensors file"));
  uint64_t json_bytes = 0;
  for (int i = 7; i >= 0; --i) json_bytes = json_bytes << 8 | static_cast<uint8_t>(head[i]);
  if (json_bytes > static_cast<uint64_t>(kSafetensorsHeaderBytesMax))
    return Bad(file, absl::StrCat("header length ", json_bytes, " exceeds ",
                                  kSafetensorsHeaderBytesMax, " bytes (not a safetensors file?)"));
  if (static_cast<int64_t>(json_bytes) > file_bytes - 8 || json_bytes > head.size() - 8)
    return Bad(file,
               absl::StrCat("header of ", json_bytes, " bytes is cut off at ", file_bytes - 8));
  const absl::string_view text = head.substr(8, json_bytes);
  if (text.empty() || text[0] != '{') return Bad(file, "header does not begin with '{'");
  ASSIGN_OR_RETURN(Json root, ParseJson(text, file, kHeaderLimits));
  SafetensorsHeader header;
  header.data_begin = 8 + static_cast<int64_t>(json_bytes);
  for (const auto& [name, value] : root.items()) {
    if (name == kMetadataKey) {
      RETURN_IF_ERROR(ParseMetadata(value, file, header));
      continue;
    }
    ASSIGN_OR_RETURN(TensorEntry entry,
                     ParseEntry(name, value, header.data_begin, file_bytes, file));
    header.tensors.push_back(std::move(entry));
  }
  std::sort(header.tensors.begin(), header.tensors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  RETURN_IF_ERROR(CheckCover(header, file_bytes, file));
  return header;
}

absl::StatusOr<std::string> EncodeSafetensorsHeader(
    std::vector<TensorSpec> specs, const std::map<std::string, std::string>& metadata,
    SafetensorsHeader* header) {
  std::sort(specs.begin(), specs.end(), [](const TensorSpec& a, const TensorSpec& b) {
    const int64_t wa = DTypeBytes(a.dtype), wb = DTypeBytes(b.dtype);
    return wa != wb ? wa > wb : a.name < b.name;
  });
  OrderedJson root = OrderedJson::object();
  auto& items =
      root.get_ref<OrderedJson::object_t&>();  // push_back: linear, names are checked below
  if (!metadata.empty()) items.push_back({kMetadataKey, OrderedJson(metadata)});
  std::set<absl::string_view> names;
  SafetensorsHeader laid_out{{}, metadata, 0};
  int64_t offset = 0;
  for (const TensorSpec& spec : specs) {
    if (spec.name.empty() || spec.name == kMetadataKey || !names.insert(spec.name).second)
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", spec.name, "': name is empty, reserved or given twice"));
    absl::StatusOr<int64_t> bytes = TensorBytes(spec);
    int64_t end = 0;
    if (!bytes.ok() || __builtin_add_overflow(offset, *bytes, &end))
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor '", spec.name, "': ", bytes.ok() ? "too large" : bytes.status().message()));
    items.push_back({spec.name, OrderedJson{{"dtype", DTypeName(spec.dtype)},
                                            {"shape", spec.shape},
                                            {"data_offsets", {offset, end}}}});
    laid_out.tensors.push_back({spec, offset, end});
    offset = end;
  }
  std::string json = root.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  json.resize((json.size() + 7) / 8 * 8, ' ');
  if (static_cast<int64_t>(json.size()) > kSafetensorsHeaderBytesMax)
    return absl::InvalidArgumentError(
        absl::StrCat("header of ", json.size(), " bytes is too large"));
  std::string head(8, '\0');
  for (int i = 0; i < 8; ++i) head[i] = static_cast<char>(json.size() >> (8 * i) & 0xff);
  laid_out.data_begin = 8 + static_cast<int64_t>(json.size());
  for (TensorEntry& entry : laid_out.tensors) {
    entry.begin += laid_out.data_begin;
    entry.end += laid_out.data_begin;
  }
  *header = std::move(laid_out);
  return head + json;
}

}  // namespace oneai::models

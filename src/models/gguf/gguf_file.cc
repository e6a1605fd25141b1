#include "models/gguf/gguf_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"

namespace oneai::models {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kKeysMax = 1 << 16, kTensorsMax = 1 << 20, kKeyBytesMax = 1 << 16;
constexpr uint64_t kTensorNameBytesMax = 256, kDimsMax = 4;
constexpr uint64_t kStringBytesMax = 64 << 20, kArrayElementsMax = 1 << 24;

// The numbers that the format gives to kinds of values.
enum class ValueKind : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12
};

// Bytes of a number, 0 for strings and arrays, -1 for what is no kind.
int KindBytes(uint32_t kind) {
  constexpr int kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kind < std::size(kBytes) ? kBytes[kind] : -1;
}

// Takes values off the front of the file. Every Read checks what is left.
class Cursor {
 public:
  Cursor(absl::string_view bytes, absl::string_view file) : bytes_(bytes), file_(file) {}

  size_t offset() const { return offset_; }
  size_t left() const { return bytes_.size() - offset_; }

  absl::Status Error(absl::string_view where, absl::string_view message) const {
    return absl::InvalidArgumentError(absl::StrCat(file_, where.empty() ? "" : ": ", where, ": ",
                                                   message, " (byte ", offset_, ")"));
  }

  template <typename T>
  absl::StatusOr<T> Read(absl::string_view where) {
    if (left() < sizeof(T)) return Error(where, "the file is cut off");
    T value;
    std::memcpy(&value, bytes_.data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return value;
  }

  absl::StatusOr<absl::string_view> ReadString(absl::string_view where, uint64_t bytes_max) {
    ASSIGN_OR_RETURN(const uint64_t length, Read<uint64_t>(where));
    if (length > bytes_max)
      return Error(where, absl::StrCat("a string of ", length, " bytes; at most ", bytes_max,
                                       " are accepted"));
    if (length > left()) return Error(where, "the file is cut off within a string");
    const absl::string_view text = bytes_.substr(offset_, length);
    offset_ += length;
    return text;
  }

 private:
  const absl::string_view bytes_, file_;
  size_t offset_ = 0;
};

absl::StatusOr<GgufValue> ReadScalar(Cursor& in, uint32_t kind, absl::string_view where) {
  switch (static_cast<ValueKind>(kind)) {
    case ValueKind::kU8: {
      ASSIGN_OR_RETURN(const uint8_t value, in.Read<uint8_t>(where));
      return static_cast<int64_t>(value);
    }
    case ValueKind::kI8: {
      ASSIGN_OR_RETURN(const int8_t value, in.Read<int8_t>(where));
      return static_cast<int64_t>(value);
    }
    case ValueKind::kU16: {
      ASSIGN_OR_RETURN(const uint16_t value, in.Read<uint16_t>(where));
      return static_cast<int64_t>(value);
    }
    case ValueKind::kI16: {
      ASSIGN_OR_RETURN(const int16_t value, in.Read<int16_t>(where));
      return static_cast<int64_t>(value);
    }
    case ValueKind::kU32: {
      ASSIGN_OR_RETURN(const uint32_t value, in.Read<uint32_t>(where));
      return static_cast<int64_t>(value);
    }
    case ValueKind::kI32: {
      ASSIGN_OR_RETURN(const int32_t value, in.Read<int32_t>(where));
      return static_cast<int64_t>(value);
    }
    case ValueKind::kF32: {
      ASSIGN_OR_RETURN(const float value, in.Read<float>(where));
      return static_cast<double>(value);
    }
    case ValueKind::kBool: {
      ASSIGN_OR_RETURN(const uint8_t value, in.Read<uint8_t>(where));
      if (value > 1) return in.Error(where, absl::StrCat("a bool of value ", value));
      return value == 1;
    }
    case ValueKind::kString:
      return in.ReadString(where, kStringBytesMax);
    case ValueKind::kU64: {
      ASSIGN_OR_RETURN(const uint64_t value, in.Read<uint64_t>(where));
      if (value > static_cast<uint64_t>(INT64_MAX))
        return in.Error(where, "an integer above 2^63 - 1");
      return static_cast<int64_t>(value);
    }
    case ValueKind::kI64:
      return in.Read<int64_t>(where);
    case ValueKind::kF64:
      return in.Read<double>(where);
    case ValueKind::kArray:
      break;
  }
  return in.Error(where, absl::StrCat("value kind ", kind, " is not known"));
}

template <typename List, typename Element>
absl::StatusOr<GgufValue> ReadList(Cursor& in, uint32_t kind, uint64_t count,
                                   absl::string_view where) {
  List list;
  list.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(GgufValue value, ReadScalar(in, kind, where));
    list.push_back(std::get<Element>(value));
  }
  return list;
}

absl::StatusOr<GgufValue> ReadArray(Cursor& in, absl::string_view where) {
  ASSIGN_OR_RETURN(const uint32_t kind, in.Read<uint32_t>(where));
  ASSIGN_OR_RETURN(const uint64_t count, in.Read<uint64_t>(where));
  const int kind_bytes = KindBytes(kind);
  if (kind_bytes < 0 || kind == static_cast<uint32_t>(ValueKind::kArray))
    return in.Error(where, absl::StrCat("an array of value kind ", kind, " is not accepted"));
  const size_t element_bytes = kind_bytes == 0 ? sizeof(uint64_t) : kind_bytes;
  if (count > kArrayElementsMax || count > in.left() / element_bytes)
    return in.Error(where, absl::StrCat("an array of ", count, " elements does not fit the file"));
  if (kind_bytes == 0) return ReadList<GgufStrings, absl::string_view>(in, kind, count, where);
  if (kind == static_cast<uint32_t>(ValueKind::kF32) ||
      kind == static_cast<uint32_t>(ValueKind::kF64))
    return ReadList<GgufReals, double>(in, kind, count, where);
  if (kind != static_cast<uint32_t>(ValueKind::kBool))
    return ReadList<GgufIntegers, int64_t>(in, kind, count, where);
  GgufIntegers flags;
  for (uint64_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(GgufValue value, ReadScalar(in, kind, where));
    flags.push_back(std::get<bool>(value) ? 1 : 0);
  }
  return flags;
}

absl::Status ReadMetadata(Cursor& in, uint64_t num_keys, GgufHeader& header) {
  for (uint64_t i = 0; i < num_keys; ++i) {
    ASSIGN_OR_RETURN(const absl::string_view key,
                     in.ReadString(absl::StrCat("metadata key ", i), kKeyBytesMax));
    const std::string where = absl::StrCat("metadata key '", key.substr(0, 200), "'");
    if (key.empty()) return in.Error(where, "the key is empty");
    ASSIGN_OR_RETURN(const uint32_t kind, in.Read<uint32_t>(where));
    const bool array = kind == static_cast<uint32_t>(ValueKind::kArray);
    ASSIGN_OR_RETURN(GgufValue value, array ? ReadArray(in, where) : ReadScalar(in, kind, where));
    if (!header.metadata.emplace(std::string(key), std::move(value)).second)
      return in.Error(where, "is there twice");
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufTensor> ReadTensor(Cursor& in, uint64_t index, absl::string_view file) {
  ASSIGN_OR_RETURN(const absl::string_view name,
                   in.ReadString(absl::StrCat("tensor ", index), kTensorNameBytesMax));
  const std::string where = absl::StrCat("tensor '", name, "'");
  if (name.empty()) return in.Error(where, "the name is empty");
  ASSIGN_OR_RETURN(const uint32_t num_dims, in.Read<uint32_t>(where));
  if (num_dims < 1 || num_dims > kDimsMax)
    return in.Error(where, absl::StrCat(num_dims, " dims; 1 to ", kDimsMax, " are accepted"));
  GgufTensor tensor;
  tensor.name = std::string(name);
  int64_t num_elements = 1;
  for (uint32_t d = 0; d < num_dims; ++d) {
    ASSIGN_OR_RETURN(const uint64_t extent, in.Read<uint64_t>(where));
    if (extent < 1 || extent > static_cast<uint64_t>(INT64_MAX) ||
        __builtin_mul_overflow(num_elements, static_cast<int64_t>(extent), &num_elements))
      return in.Error(where,
                      absl::StrCat("extent ", extent, " of dim ", d, " is zero or overflows"));
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(extent));
  }
  ASSIGN_OR_RETURN(const uint32_t number, in.Read<uint32_t>(where));
  const std::optional<BlockType> type = ParseBlockType(number);
  if (!type)
    return absl::UnimplementedError(absl::StrCat(file, ": ", where, ": type ",
                                                 BlockTypeName(number), " is not read; ",
                                                 KnownBlockTypes(), " are"));
  tensor.type = *type;
  if (tensor.shape.back() % TraitsOf(*type).elements != 0)
    return in.Error(where, absl::StrCat("rows of ", tensor.shape.back(), " are no whole blocks of ",
                                        TraitsOf(*type).name));
  absl::StatusOr<int64_t> bytes = BlockBytes(*type, num_elements);
  if (!bytes.ok()) return in.Error(where, bytes.status().message());
  tensor.bytes = *bytes;
  ASSIGN_OR_RETURN(const uint64_t offset, in.Read<uint64_t>(where));
  if (offset > static_cast<uint64_t>(INT64_MAX) / 2)
    return in.Error(where, absl::StrCat("offset ", offset, " lies beyond the file"));
  tensor.begin = static_cast<int64_t>(offset);
  return tensor;
}

int64_t AlignUp(int64_t value, int64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

// Tensors follow one another, each padded to the alignment: no overlap, no hole, inside the file.
absl::Status PlaceTensors(int64_t data_begin, int64_t file_bytes, absl::string_view file,
                          GgufHeader& header) {
  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [](const GgufTensor& a, const GgufTensor& b) { return a.begin < b.begin; });
  std::set<absl::string_view> names;
  int64_t expected = 0;
  for (GgufTensor& tensor : header.tensors) {
    auto bad = [&](absl::string_view message) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": tensor '", tensor.name, "': ", message));
    };
    if (!names.insert(tensor.name).second) return bad("is there twice");
    if (tensor.begin != expected)
      return bad(absl::StrCat(
          tensor.begin < expected ? "overlaps the tensor before it" : "leaves a hole before it",
          " (offset ", tensor.begin, ", expected ", expected, ")"));
    const int64_t available = file_bytes - data_begin;
    if (tensor.bytes > available || tensor.begin > available - tensor.bytes)
      return bad(absl::StrCat("its ", tensor.bytes, " bytes at offset ", tensor.begin,
                              " lie beyond the ", std::max<int64_t>(available, 0),
                              " data bytes of the file (truncated?)"));
    expected = AlignUp(tensor.begin + tensor.bytes, header.alignment);
    tensor.begin += data_begin;
  }
  return absl::OkStatus();
}

absl::Status WrongKind(absl::string_view key, absl::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat("metadata key '", key, "' must be ", wanted));
}

}  // namespace

absl::StatusOr<GgufHeader> ParseGguf(absl::string_view bytes, int64_t file_bytes,
                                     absl::string_view file) {
  Cursor in(bytes, file);
  ASSIGN_OR_RETURN(const uint32_t magic, in.Read<uint32_t>(""));
  if (magic != kMagic)
    return absl::InvalidArgumentError(absl::StrCat(file, ": does not begin with 'GGUF'"));
  ASSIGN_OR_RETURN(const uint32_t version, in.Read<uint32_t>("version"));
  if ((version & 0xffff) == 0)
    return in.Error("version", "the file is big-endian, which is not read");
  if (version != 2 && version != 3)
    return in.Error("version", absl::StrCat("GGUF version ", version, " is not read; 2 and 3 are"));
  ASSIGN_OR_RETURN(const uint64_t num_tensors, in.Read<uint64_t>("header"));
  ASSIGN_OR_RETURN(const uint64_t num_keys, in.Read<uint64_t>("header"));
  // A tensor takes at least 32 bytes and a key 13.
  if (num_tensors > kTensorsMax || num_keys > kKeysMax || num_tensors > in.left() / 32 ||
      num_keys > in.left() / 13)
    return in.Error("header", absl::StrCat(num_tensors, " tensors and ", num_keys,
                                           " keys do not fit the file"));
  GgufHeader header;
  RETURN_IF_ERROR(ReadMetadata(in, num_keys, header));
  absl::StatusOr<std::optional<int64_t>> alignment =
      header.Integer("general.alignment", 1, 1 << 20);
  if (!alignment.ok()) return Annotate(alignment.status(), file);
  header.alignment = alignment->value_or(kGgufAlignment);
  if ((header.alignment & (header.alignment - 1)) != 0)
    return in.Error("general.alignment", absl::StrCat(header.alignment, " is no power of two"));
  header.tensors.reserve(num_tensors);
  for (uint64_t i = 0; i < num_tensors; ++i) {
    ASSIGN_OR_RETURN(GgufTensor tensor, ReadTensor(in, i, file));
    header.tensors.push_back(std::move(tensor));
  }
  const int64_t data_begin = AlignUp(static_cast<int64_t>(in.offset()), header.alignment);
  RETURN_IF_ERROR(PlaceTensors(data_begin, file_bytes, file, header));
  return header;
}

absl::StatusOr<std::optional<int64_t>> GgufHeader::Integer(absl::string_view key, int64_t min,
                                                           int64_t max) const {
  const auto it = metadata.find(key);
  if (it == metadata.end()) return std::nullopt;
  const int64_t* value = std::get_if<int64_t>(&it->second);
  if (value == nullptr || *value < min || *value > max)
    return WrongKind(key, absl::StrCat("an integer from ", min, " to ", max));
  return *value;
}

absl::StatusOr<std::optional<double>> GgufHeader::Real(absl::string_view key) const {
  const auto it = metadata.find(key);
  if (it == metadata.end()) return std::nullopt;
  if (const int64_t* integer = std::get_if<int64_t>(&it->second))
    return static_cast<double>(*integer);
  const double* value = std::get_if<double>(&it->second);
  if (value == nullptr || !std::isfinite(*value)) return WrongKind(key, "a finite number");
  return *value;
}

absl::StatusOr<std::optional<absl::string_view>> GgufHeader::Text(absl::string_view key) const {
  const auto it = metadata.find(key);
  if (it == metadata.end()) return std::nullopt;
  const absl::string_view* value = std::get_if<absl::string_view>(&it->second);
  if (value == nullptr) return WrongKind(key, "a string");
  return *value;
}

absl::StatusOr<std::optional<bool>> GgufHeader::Flag(absl::string_view key) const {
  const auto it = metadata.find(key);
  if (it == metadata.end()) return std::nullopt;
  const bool* value = std::get_if<bool>(&it->second);
  if (value == nullptr) return WrongKind(key, "a bool");
  return *value;
}

absl::StatusOr<const GgufStrings*> GgufHeader::Strings(absl::string_view key) const {
  const auto it = metadata.find(key);
  if (it == metadata.end()) return nullptr;
  const auto* value = std::get_if<GgufStrings>(&it->second);
  if (value == nullptr) return WrongKind(key, "an array of strings");
  return value;
}

absl::StatusOr<const GgufIntegers*> GgufHeader::Integers(absl::string_view key) const {
  const auto it = metadata.find(key);
  if (it == metadata.end()) return nullptr;
  const auto* value = std::get_if<GgufIntegers>(&it->second);
  if (value == nullptr) return WrongKind(key, "an array of integers");
  return value;
}

absl::StatusOr<std::shared_ptr<const GgufFile>> GgufFile::Open(const std::filesystem::path& path) {
  auto file = std::make_shared<GgufFile>();
  file->path = path.string();
  ASSIGN_OR_RETURN(file->mapping, MappedFile::Open(path));
  ASSIGN_OR_RETURN(file->header,
                   ParseGguf(file->mapping->text(), file->mapping->size(), file->path));
  return file;
}

}  // namespace oneai::models

#include "models/gguf/gguf_writer.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/gguf/gguf_file.h"

namespace oneai::models {
namespace {

constexpr uint32_t kKindU32 = 4, kKindI32 = 5, kKindF32 = 6, kKindBool = 7, kKindString = 8,
                   kKindArray = 9;
constexpr size_t kNameBytesMax = 63;  // ggml keeps names in 64 bytes

template <typename T>
void Put(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void PutString(std::string& out, absl::string_view text) {
  Put<uint64_t>(out, text.size());
  out.append(text.data(), text.size());
}

int64_t AlignUp(int64_t value) {
  return (value + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment;
}

}  // namespace

void GgufMetadata::Key(absl::string_view key, uint32_t kind) {
  PutString(bytes_, key);
  Put<uint32_t>(bytes_, kind);
  ++num_keys_;
}

void GgufMetadata::PutU32(absl::string_view key, uint32_t value) {
  Key(key, kKindU32);
  Put(bytes_, value);
}

void GgufMetadata::PutF32(absl::string_view key, float value) {
  Key(key, kKindF32);
  Put(bytes_, value);
}

void GgufMetadata::PutBool(absl::string_view key, bool value) {
  Key(key, kKindBool);
  Put<uint8_t>(bytes_, value ? 1 : 0);
}

void GgufMetadata::PutText(absl::string_view key, absl::string_view value) {
  Key(key, kKindString);
  PutString(bytes_, value);
}

void GgufMetadata::PutTexts(absl::string_view key, absl::Span<const std::string> values) {
  Key(key, kKindArray);
  Put<uint32_t>(bytes_, kKindString);
  Put<uint64_t>(bytes_, values.size());
  for (const std::string& value : values) PutString(bytes_, value);
}

void GgufMetadata::PutI32s(absl::string_view key, absl::Span<const int32_t> values) {
  Key(key, kKindArray);
  Put<uint32_t>(bytes_, kKindI32);
  Put<uint64_t>(bytes_, values.size());
  for (const int32_t value : values) Put(bytes_, value);
}

absl::StatusOr<std::unique_ptr<GgufWriter>> GgufWriter::Create(
    const std::filesystem::path& file, const GgufMetadata& metadata,
    std::vector<GgufTensorSpec> tensors) {
  std::string head = "GGUF";
  Put<uint32_t>(head, 3);
  Put<uint64_t>(head, tensors.size());
  Put<uint64_t>(head, metadata.num_keys());
  head += metadata.bytes();
  auto writer = std::unique_ptr<GgufWriter>(new GgufWriter(file.string()));
  int64_t offset = 0;
  for (const GgufTensorSpec& tensor : tensors) {
    auto bad = [&](absl::string_view message) {
      return absl::InvalidArgumentError(
          absl::StrCat(file.string(), ": tensor '", tensor.name, "': ", message));
    };
    if (tensor.name.empty() || tensor.name.size() > kNameBytesMax || tensor.shape.empty() ||
        tensor.shape.size() > 4)
      return bad("GGUF wants names of at most 63 bytes and 1 to 4 dims");
    int64_t num_elements = 1;
    PutString(head, tensor.name);
    Put<uint32_t>(head, static_cast<uint32_t>(tensor.shape.size()));
    for (auto extent = tensor.shape.rbegin(); extent != tensor.shape.rend(); ++extent) {
      if (*extent < 1 || __builtin_mul_overflow(num_elements, *extent, &num_elements))
        return bad("an extent is zero or overflows");
      Put<uint64_t>(head, static_cast<uint64_t>(*extent));
    }
    Put<uint32_t>(head, static_cast<uint32_t>(tensor.type));
    Put<uint64_t>(head, static_cast<uint64_t>(offset));
    absl::StatusOr<int64_t> bytes = BlockBytes(tensor.type, num_elements);
    if (!bytes.ok()) return bad(bytes.status().message());
    if (tensor.shape.back() % TraitsOf(tensor.type).elements != 0)
      return bad("its rows are no whole blocks");
    if (!writer->progress_.emplace(tensor.name, Progress{offset, offset + *bytes}).second)
      return bad("is given twice");
    offset = AlignUp(offset + *bytes);
  }
  const int64_t data_begin = AlignUp(static_cast<int64_t>(head.size()));
  head.resize(data_begin, '\0');
  for (auto& [name, progress] : writer->progress_) {
    progress.next += data_begin;
    progress.end += data_begin;
  }
  writer->file_bytes_ = data_begin + offset;
  ASSIGN_OR_RETURN(writer->file_, AtomicFile::Create(file, writer->file_bytes_));
  RETURN_IF_ERROR(writer->file_->WriteAt(
      0, absl::MakeConstSpan(reinterpret_cast<const std::byte*>(head.data()), head.size())));
  return writer;
}

absl::Status GgufWriter::Append(absl::string_view name, absl::Span<const std::byte> bytes) {
  const auto it = progress_.find(name);
  if (it == progress_.end())
    return absl::NotFoundError(absl::StrCat(file_name_, ": tensor '", name, "' was not declared"));
  Progress& progress = it->second;
  if (static_cast<int64_t>(bytes.size()) > progress.end - progress.next)
    return absl::OutOfRangeError(absl::StrCat(file_name_, ": tensor '", name, "' has room for ",
                                              progress.end - progress.next, " more bytes, not ",
                                              bytes.size()));
  RETURN_IF_ERROR(file_->WriteAt(progress.next, bytes));
  progress.next += static_cast<int64_t>(bytes.size());
  return absl::OkStatus();
}

absl::Status GgufWriter::Commit() {
  int64_t end = 0;
  for (const auto& [name, progress] : progress_) {
    if (progress.next != progress.end)
      return absl::FailedPreconditionError(absl::StrCat(file_name_, ": tensor '", name,
                                                        "' still lacks ",
                                                        progress.end - progress.next, " bytes"));
    end = std::max(end, progress.end);
  }
  // Readers expect the padding after the last tensor, too.
  const std::vector<std::byte> padding(progress_.empty() ? 0 : file_bytes_ - end);
  RETURN_IF_ERROR(file_->WriteAt(end, padding));
  return file_->Commit();
}

}  // namespace oneai::models

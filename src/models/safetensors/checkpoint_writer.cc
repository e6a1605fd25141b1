#include "models/safetensors/checkpoint_writer.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files/files.h"
#include "base/status.h"
#include "models/json/json_reader.h"

namespace oneai::models {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";

// Cuts the list greedily, in order.
absl::StatusOr<std::vector<std::vector<TensorSpec>>> CutIntoShards(std::vector<TensorSpec> specs,
                                                                   int64_t shard_bytes_max) {
  std::vector<std::vector<TensorSpec>> shards(1);
  int64_t shard_bytes = 0;
  for (TensorSpec& spec : specs) {
    absl::StatusOr<int64_t> bytes = TensorBytes(spec);
    if (!bytes.ok()) return Annotate(bytes.status(), absl::StrCat("tensor '", spec.name, "'"));
    if (!shards.back().empty() && *bytes > shard_bytes_max - shard_bytes) {
      shards.emplace_back();
      shard_bytes = 0;
    }
    shard_bytes += *bytes;
    shards.back().push_back(std::move(spec));
  }
  return shards;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::Create(
    const std::filesystem::path& file, std::vector<TensorSpec> specs,
    const std::map<std::string, std::string>& metadata) {
  SafetensorsHeader header;
  ASSIGN_OR_RETURN(std::string head, EncodeSafetensorsHeader(std::move(specs), metadata, &header));
  auto writer = std::unique_ptr<SafetensorsWriter>(new SafetensorsWriter(file.string()));
  const int64_t file_bytes = header.tensors.empty() ? header.data_begin : header.tensors.back().end;
  ASSIGN_OR_RETURN(writer->file_, AtomicFile::Create(file, file_bytes));
  RETURN_IF_ERROR(writer->file_->WriteAt(
      0, absl::MakeConstSpan(reinterpret_cast<const std::byte*>(head.data()), head.size())));
  for (TensorEntry& entry : header.tensors)
    writer->progress_[std::move(entry.spec.name)] = {entry.begin, entry.end};
  return writer;
}

absl::Status SafetensorsWriter::Append(absl::string_view name, absl::Span<const std::byte> bytes) {
  auto it = progress_.find(name);
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

absl::Status SafetensorsWriter::Finish() {
  for (const auto& [name, progress] : progress_)
    if (progress.next != progress.end)
      return absl::FailedPreconditionError(absl::StrCat(file_name_, ": tensor '", name,
                                                        "' still lacks ",
                                                        progress.end - progress.next, " bytes"));
  return file_->Sync();
}

absl::Status SafetensorsWriter::Commit() {
  RETURN_IF_ERROR(Finish());
  return file_->Commit();
}

absl::StatusOr<std::unique_ptr<CheckpointWriter>> CheckpointWriter::Create(
    const std::filesystem::path& folder, std::vector<TensorSpec> specs,
    CheckpointWriterOptions options) {
  auto writer = std::unique_ptr<CheckpointWriter>(new CheckpointWriter(folder));
  ASSIGN_OR_RETURN(auto shards, CutIntoShards(std::move(specs), options.shard_bytes_max));
  for (size_t i = 0; i < shards.size(); ++i) {
    writer->shard_names_.push_back(
        shards.size() == 1
            ? kSingleFile
            : absl::StrFormat("model-%05d-of-%05d.safetensors", i + 1, shards.size()));
    for (const TensorSpec& spec : shards[i]) {
      if (!writer->shard_of_.emplace(spec.name, i).second)
        return absl::InvalidArgumentError(absl::StrCat("tensor '", spec.name, "' is given twice"));
      ASSIGN_OR_RETURN(int64_t bytes, TensorBytes(spec));
      writer->total_bytes_ += bytes;
    }
    ASSIGN_OR_RETURN(auto shard, SafetensorsWriter::Create(folder / writer->shard_names_.back(),
                                                           std::move(shards[i]), options.metadata));
    writer->shards_.push_back(std::move(shard));
  }
  return writer;
}

absl::Status CheckpointWriter::Append(absl::string_view name, absl::Span<const std::byte> bytes) {
  auto it = shard_of_.find(name);
  if (it == shard_of_.end())
    return absl::NotFoundError(
        absl::StrCat(folder_.string(), ": tensor '", name, "' was not declared"));
  return shards_[it->second]->Append(name, bytes);
}

absl::Status CheckpointWriter::Commit() {
  // All data reach the disk before the first name changes, so a full disk leaves the folder as it
  // was.
  for (auto& shard : shards_) RETURN_IF_ERROR(shard->Finish());
  for (auto& shard : shards_) RETURN_IF_ERROR(shard->Commit());
  const bool sharded = shards_.size() > 1;
  if (sharded) {
    Json weight_map = Json::object();
    for (const auto& [name, shard] : shard_of_) weight_map[name] = shard_names_[shard];
    const Json index = {{"metadata", {{"total_size", total_bytes_}}}, {"weight_map", weight_map}};
    RETURN_IF_ERROR(WriteFileAtomically(folder_ / kIndexFile, index.dump(2) + "\n"));
  }
  std::error_code error;
  std::filesystem::remove(folder_ / (sharded ? kSingleFile : kIndexFile), error);
  if (error)
    return WriteError(error.value(), folder_.string(), "remove the weights in the other form");
  return SyncDirectory(folder_);
}

}  // namespace oneai::models

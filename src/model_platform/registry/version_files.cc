#include "model_platform/registry/version_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <numeric>

#include "absl/strings/str_replace.h"
#include "base/files/files.h"
#include "base/status.h"
#include "model_platform/train/checkpoint_folder.h"
#include "models/config/model_config.h"
#include "models/lora/lora_config.h"
#include "models/qwen/weights.h"
#include "models/safetensors/checkpoint.h"
#include "models/weights/model_files.h"
#include "models/weights/open_weights.h"

namespace oneai::platform {
namespace {

namespace fs = std::filesystem;

constexpr size_t kFilesMax = 10000;

absl::Status FromError(const std::error_code& error, absl::string_view what, const fs::path& path) {
  return ErrnoStatus(error.value(), absl::StrCat(what, " ", path.string()));
}

// Files of a checkpoint that are not of the model.
bool IsTrainerState(const fs::path& relative) {
  return *relative.begin() == "trainer" || relative == "manifest.json";
}

absl::StatusOr<std::vector<fs::path>> ListModelFiles(const fs::path& source) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator it(source, error), end; !error && it != end;
       it.increment(error)) {
    const fs::path relative = it->path().lexically_relative(source);
    const fs::file_status status = it->symlink_status(error);
    if (error) break;
    if (IsTrainerState(relative) || status.type() == fs::file_type::directory) continue;
    if (status.type() != fs::file_type::regular) {
      return absl::InvalidArgumentError(
          absl::StrCat(it->path().string(), ": not a regular file; links are not followed"));
    }
    files.push_back(relative);
    if (files.size() > kFilesMax) {
      return absl::InvalidArgumentError(
          absl::StrCat(source.string(), ": more than ", kFilesMax, " files"));
    }
  }
  if (error) return FromError(error, "listing", source);
  std::ranges::sort(files);
  return files;
}

absl::Status LinkOrCopy(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_directories(to.parent_path(), error);
  if (error) return FromError(error, "making", to.parent_path());
  fs::create_hard_link(from, to, error);
  if (error) {  // another file system, or one without links
    fs::copy_file(from, to, error);
    if (error) return FromError(error, "copying to", to);
  }
  fs::permissions(to, fs::perms::owner_read | fs::perms::group_read | fs::perms::others_read,
                  error);
  if (error) return FromError(error, "protecting", to);
  const int fd = open(to.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("opening ", to.string()));
  const int failed = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  if (failed != 0) return ErrnoStatus(failed, absl::StrCat("syncing ", to.string()));
  return SyncDirectory(to.parent_path());
}

// What serving will load of a model: a Hugging Face folder, quantised or not, or a GGUF file.
absl::Status CheckModel(const fs::path& folder, StagedModel& staged) {
  ASSIGN_OR_RETURN(const models::Json json, models::LoadConfigJson(folder));
  ASSIGN_OR_RETURN(const models::ModelConfig config, models::LoadModelConfigOf(folder));
  ASSIGN_OR_RETURN(const auto weights, models::OpenWeights(folder));
  RETURN_IF_ERROR(models::qwen::MatchCheckpoint(config, *weights).status());
  ASSIGN_OR_RETURN(const auto tokenizer, models::LoadTokenizerOf(folder));
  if (tokenizer->vocab_size() > config.vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat("the tokenizer's ", tokenizer->vocab_size(),
                                                   " tokens do not fit vocab_size ",
                                                   config.vocab_size, " of config.json"));
  }
  for (const models::qwen::WeightSpec& spec : models::qwen::WeightTable(config)) {
    staged.num_parameters += std::accumulate(spec.shape.begin(), spec.shape.end(), int64_t{1},
                                             std::multiplies<int64_t>());
  }
  const auto names = json.find("architectures");
  const bool is_named =
      names != json.end() && names->is_array() && names->size() == 1 && names->front().is_string();
  staged.architecture = is_named ? names->front().get<std::string>()
                                 : std::string(models::ModelFamilyName(config.family));
  return absl::OkStatus();
}

// A PEFT LoRA adapter. Whether it fits a model shows when it is put on one.
absl::Status CheckAdapter(const fs::path& folder, StagedModel& staged) {
  RETURN_IF_ERROR(models::LoadLoraConfig(folder).status());
  ASSIGN_OR_RETURN(const models::Checkpoint tensors,
                   models::Checkpoint::OpenFile(folder / "adapter_model.safetensors"));
  for (const models::TensorView& tensor : tensors.tensors())
    staged.num_parameters += tensor.num_elements();
  staged.architecture = kAdapterArchitecture;
  return absl::OkStatus();
}

// Loads everything that serving will load. Fills the parts of `staged` that come from it.
absl::Status CheckLoadable(const fs::path& folder, StagedModel& staged) {
  std::error_code error;
  return fs::exists(folder / "adapter_config.json", error) ? CheckAdapter(folder, staged)
                                                           : CheckModel(folder, staged);
}

bool IsBeneath(const fs::path& root, const fs::path& path) {
  const auto [in_root, in_path] = std::ranges::mismatch(root, path);
  return in_root == root.end() && in_path != path.end();
}

}  // namespace

absl::StatusOr<fs::path> ResolveSource(const fs::path& root, absl::string_view source) {
  auto bad = [&](absl::string_view problem) {
    return absl::InvalidArgumentError(absl::StrCat("source_dir '", source, "' ", problem));
  };
  if (source.empty() || source.find('\0') != absl::string_view::npos) return bad("is empty");
  std::error_code error;
  const fs::path real_root = fs::canonical(root, error);
  if (error) return FromError(error, "resolving", root);
  const fs::path given{std::string(source)};
  const fs::path real = fs::canonical(given.is_absolute() ? given : real_root / given, error);
  if (error) return bad("does not exist");
  if (!IsBeneath(real_root, real)) return bad("is not below the artifact root");
  if (!fs::is_directory(real, error)) return bad("is not a folder");
  return real;
}

std::string ContentSha256(const std::vector<registry::v1::FileEntry>& files) {
  std::string list;
  for (const registry::v1::FileEntry& file : files) {
    absl::StrAppend(&list, file.path(), "\t", file.size_bytes(), "\t", file.sha256(), "\n");
  }
  return Sha256Hex(list);
}

absl::StatusOr<StagedModel> StageModel(const fs::path& source, const fs::path& stage) {
  std::error_code error;
  if (fs::exists(source / "manifest.json", error)) {
    if (const absl::Status status = VerifyFolder(source); !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the checkpoint is not whole: ", status.message()));
    }
  }
  ASSIGN_OR_RETURN(const std::vector<fs::path> files, ListModelFiles(source));
  StagedModel staged;
  for (const fs::path& file : files) {
    RETURN_IF_ERROR(LinkOrCopy(source / file, stage / file));
    registry::v1::FileEntry& entry = staged.files.emplace_back();
    entry.set_path(file.string());
    const uintmax_t size = fs::file_size(stage / file, error);
    if (error) return FromError(error, "reading the size of", stage / file);
    entry.set_size_bytes(static_cast<int64_t>(size));
    ASSIGN_OR_RETURN(*entry.mutable_sha256(), Sha256HexOfFile(stage / file));
  }
  if (const absl::Status status = CheckLoadable(stage, staged); !status.ok()) {
    const bool is_ours = absl::IsResourceExhausted(status) || absl::IsUnavailable(status) ||
                         absl::IsInternal(status);
    if (is_ours) return status;
    // The stage is gone when the caller reads this.
    return absl::InvalidArgumentError(
        absl::StrCat("this is not a model that loads: ",
                     absl::StrReplaceAll(status.message(), {{stage.string(), source.string()}})));
  }
  RETURN_IF_ERROR(SyncDirectory(stage));
  staged.sha256 = ContentSha256(staged.files);
  return staged;
}

}  // namespace oneai::platform

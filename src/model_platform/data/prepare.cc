#include "model_platform/data/prepare.h"

#include <map>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/status.h"
#include "model_platform/data/chat_template.h"
#include "model_platform/data/token_file.h"
#include "models/json/json_reader.h"
#include "models/tokenizer/bpe_trainer.h"
#include "models/tokenizer/tokenizer_files.h"

namespace oneai::platform {
namespace {

namespace fs = std::filesystem;
using models::Json;

// A tokenizer learns little from more text than this, and the trainer holds it in memory.
constexpr size_t kTokenizerCorpusBytesMax = 128 << 20;
constexpr int64_t kFormat = 1;
const std::vector<std::string> kPreparedFiles = {
    "train.bin", "train.idx", "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"};

// Settings that decide what the data folder holds.
std::string Fingerprint(const PretrainSettings& s) {
  const Json json = {{"format", kFormat},
                     {"dataset", s.dataset},
                     {"split_dataset_ratio", s.split_dataset_ratio},
                     {"document_separator", s.documents.separator},
                     {"paragraphs_per_document", s.documents.paragraphs_per_document},
                     {"vocab_size", s.tokenizer.vocab_size},
                     {"from_model", s.tokenizer.from_model},
                     {"max_length", s.max_length}};
  return Sha256Hex(json.dump());
}

absl::StatusOr<models::TokenizerSpec> TrainTokenizer(const PretrainSettings& settings,
                                                     DatasetSource& source,
                                                     const OpenedDataset& dataset) {
  std::vector<std::string> corpus;
  size_t bytes = 0;
  RETURN_IF_ERROR(
      ForEachDocument(source, dataset, settings.documents, [&](absl::string_view document) {
        if (!IsHeldOut(document, settings.split_dataset_ratio) &&
            bytes + document.size() <= kTokenizerCorpusBytesMax) {
          corpus.emplace_back(document);
          bytes += document.size();
        }
        return absl::OkStatus();
      }));
  models::BpeTrainerOptions options;
  options.vocab_size = settings.tokenizer.vocab_size;
  const std::vector<absl::string_view> views(corpus.begin(), corpus.end());
  return models::TrainBpe(views, options);
}

absl::StatusOr<fs::path> RegistryFolder(const fs::path& registry_dir, const std::string& ref) {
  const std::vector<std::string> parts = absl::StrSplit(ref, '@');
  int32_t version = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[1], &version)) {
    return absl::InvalidArgumentError(
        absl::StrCat("key 'tokenizer.from_model': '", ref, "' names no version; write name@1"));
  }
  return ResolveBeneath(registry_dir, absl::StrCat(parts[0], "/", version));
}

absl::Status MakeTokenizer(const PretrainSettings& settings, const fs::path& registry_dir,
                           DatasetSource& source, const OpenedDataset& dataset,
                           const fs::path& folder) {
  models::TokenizerSpec spec;
  models::TokenizerConfig config;
  if (settings.tokenizer.from_model.empty()) {
    ASSIGN_OR_RETURN(spec, TrainTokenizer(settings, source, dataset));
    config = models::MakeTokenizerConfig(spec, std::string(kChatMlTemplate), settings.max_length);
  } else {
    ASSIGN_OR_RETURN(const fs::path model,
                     RegistryFolder(registry_dir, settings.tokenizer.from_model));
    ASSIGN_OR_RETURN(spec, models::LoadTokenizerSpec(model));
    ASSIGN_OR_RETURN(config, models::LoadTokenizerConfig(model));
  }
  return models::SaveTokenizer(spec, config, folder);
}

absl::Status Tokenise(const PretrainSettings& settings, DatasetSource& source,
                      const OpenedDataset& dataset, PreparedData& prepared) {
  ASSIGN_OR_RETURN(const auto tokenizer, models::Tokenizer::Load(prepared.tokenizer_dir()));
  const auto end = tokenizer->FindToken(kEndOfDocument);
  if (!end.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the tokenizer has no ", kEndOfDocument, " token to end documents with"));
  }
  prepared.vocab_size = tokenizer->vocab_size();
  prepared.end_of_document = *end;
  ASSIGN_OR_RETURN(auto writer,
                   TokenFileWriter::Create(prepared.train_prefix(), prepared.vocab_size));
  RETURN_IF_ERROR(ForEachDocument(
      source, dataset, settings.documents, [&](absl::string_view document) -> absl::Status {
        if (IsHeldOut(document, settings.split_dataset_ratio)) {
          ++prepared.held_out_documents;
          return absl::OkStatus();
        }
        // The mark stands on both sides: before the text it is what the first token is predicted
        // from (evaluation begins documents with it too), after it is what the model stops with.
        std::vector<models::TokenId> ids = {*end};
        // Data must not be able to spell a control token.
        const auto text = tokenizer->Encode(document, models::SpecialTokens::kAsText);
        ids.insert(ids.end(), text.begin(), text.end());
        ids.push_back(*end);
        return writer->Add(ids);
      }));
  prepared.train_documents = writer->num_documents();
  prepared.train_tokens = writer->num_tokens();
  if (prepared.train_documents == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(dataset.ref(), " has no document in its training split"));
  }
  return writer->Finish();
}

absl::Status WritePrepared(const PreparedData& p, const std::string& fingerprint) {
  Json files = Json::object();
  for (const std::string& name : kPreparedFiles) {
    ASSIGN_OR_RETURN(files[name], Sha256HexOfFile(p.folder / name));
  }
  const Json json = {{"format", kFormat},
                     {"fingerprint", fingerprint},
                     {"dataset", p.dataset},
                     {"version", p.version},
                     {"sha256", p.sha256},
                     {"license", p.license},
                     {"vocab_size", p.vocab_size},
                     {"end_of_document", p.end_of_document},
                     {"train_documents", p.train_documents},
                     {"train_tokens", p.train_tokens},
                     {"held_out_documents", p.held_out_documents},
                     {"files", files}};
  return WriteFileAtomically(p.folder / "prepared.json", json.dump(2));
}

absl::StatusOr<PreparedData> ParsePrepared(const Json& json, const fs::path& folder) {
  const std::string what = (folder / "prepared.json").string();
  ASSIGN_OR_RETURN(const models::JsonObject object, models::JsonObject::From(json, what));
  PreparedData p;
  p.folder = folder;
  ASSIGN_OR_RETURN(p.dataset, object.String("dataset"));
  ASSIGN_OR_RETURN(p.version, object.Int("version", {1, INT32_MAX}));
  ASSIGN_OR_RETURN(p.sha256, object.String("sha256"));
  ASSIGN_OR_RETURN(p.license, object.StringOr("license", ""));
  ASSIGN_OR_RETURN(p.vocab_size, object.Int("vocab_size", {1, models::kTokenIdMax}));
  ASSIGN_OR_RETURN(p.end_of_document, object.Int("end_of_document", {0, p.vocab_size - 1}));
  ASSIGN_OR_RETURN(p.train_documents, object.Int("train_documents"));
  ASSIGN_OR_RETURN(p.train_tokens, object.Int("train_tokens"));
  ASSIGN_OR_RETURN(p.held_out_documents, object.Int("held_out_documents"));
  return p;
}

// What an earlier attempt left, if it is whole and of these settings.
absl::StatusOr<PreparedData> FindPrepared(const fs::path& folder, const std::string& fingerprint) {
  ASSIGN_OR_RETURN(const PreparedData prepared, ReadPrepared(folder));
  ASSIGN_OR_RETURN(const Json json, models::ReadJsonFile(folder / "prepared.json"));
  if (json.value("fingerprint", "") != fingerprint) {
    return absl::NotFoundError("prepared with other settings");
  }
  for (const std::string& name : kPreparedFiles) {
    ASSIGN_OR_RETURN(const std::string sha256, Sha256HexOfFile(folder / name));
    if (json["files"].value(name, "") != sha256) {
      return absl::DataLossError(absl::StrCat((folder / name).string(), " has changed"));
    }
  }
  return prepared;
}

fs::path ReadyFile(const fs::path& folder, int64_t attempt) {
  return folder / absl::StrCat("ready-", attempt);
}

}  // namespace

absl::Status ForEachDocument(DatasetSource& source, const OpenedDataset& dataset,
                             const DocumentRules& rules, DocumentSplitter::Visitor visit) {
  for (const DatasetFile& file : dataset.files) {
    ASSIGN_OR_RETURN(const DocumentFormat format, FormatOf(file.path));
    DocumentSplitter splitter(absl::StrCat(dataset.ref(), ": ", file.path), format, rules);
    RETURN_IF_ERROR(source.Read(
        dataset, file, [&](absl::string_view bytes) { return splitter.Feed(bytes, visit); }));
    RETURN_IF_ERROR(splitter.Finish(visit));
  }
  return absl::OkStatus();
}

absl::StatusOr<PreparedData> ReadPrepared(const fs::path& folder) {
  absl::StatusOr<Json> json = models::ReadJsonFile(folder / "prepared.json");
  if (absl::IsNotFound(json.status())) return json.status();
  absl::StatusOr<PreparedData> prepared =
      json.ok() ? ParsePrepared(*json, folder) : absl::StatusOr<PreparedData>(json.status());
  if (prepared.ok()) return prepared;
  return absl::DataLossError(prepared.status().message());
}

absl::StatusOr<PreparedData> PrepareData(const PretrainSettings& settings, const fs::path& folder,
                                         const fs::path& registry_dir, DatasetSource& source) {
  const std::string fingerprint = Fingerprint(settings);
  if (absl::StatusOr<PreparedData> earlier = FindPrepared(folder, fingerprint); earlier.ok()) {
    const std::string pinned = absl::StrCat(earlier->dataset, "@", earlier->version);
    ASSIGN_OR_RETURN(const OpenedDataset dataset, source.Open(pinned, settings.purpose));
    if (dataset.sha256 == earlier->sha256) return earlier;
  }
  ASSIGN_OR_RETURN(const OpenedDataset dataset, source.Open(settings.dataset, settings.purpose));
  PreparedData prepared;
  prepared.folder = folder;
  prepared.dataset = dataset.name;
  prepared.version = dataset.version;
  prepared.sha256 = dataset.sha256;
  prepared.license = dataset.license;
  std::error_code error;
  fs::create_directories(prepared.tokenizer_dir(), error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("making ", folder.string()));
  RETURN_IF_ERROR(MakeTokenizer(settings, registry_dir, source, dataset, prepared.tokenizer_dir()));
  RETURN_IF_ERROR(Tokenise(settings, source, dataset, prepared));
  RETURN_IF_ERROR(WritePrepared(prepared, fingerprint));
  return prepared;
}

absl::Status AnnounceReady(const fs::path& folder, int64_t attempt) {
  return WriteFileAtomically(ReadyFile(folder, attempt), "");
}

absl::Status AwaitReady(const fs::path& folder, int64_t attempt, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  std::error_code error;
  while (!fs::exists(ReadyFile(folder, attempt), error)) {
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("rank 0 has not prepared the data within ", absl::FormatDuration(timeout)));
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
  return absl::OkStatus();
}

}  // namespace oneai::platform

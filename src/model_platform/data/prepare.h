// File: model_platform/data/prepare.h
//
// From a governed dataset to token files and a tokenizer, once per job: open -> (train a tokenizer)
// -> tokenise the training split -> publish. Rank 0 prepares; the others wait for a file, so that
// nobody sits in a collective while text is being read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model_platform/data/dataset_source.h"
#include "model_platform/data/documents.h"
#include "model_platform/settings/settings.h"
#include "models/tokenizer/tokenizer.h"

namespace oneai::platform {

// The token that stands before and after every document in the token file.
inline constexpr absl::string_view kEndOfDocument = "<|endoftext|>";

// What a data folder holds: `train.bin`, `train.idx`, `tokenizer/`, and `prepared.json`, which
// describes them and is written last.
struct PreparedData {
  std::filesystem::path folder;
  std::string dataset;  // name, without version
  int32_t version = 0;
  std::string sha256;  // of the dataset version
  std::string license;
  int64_t vocab_size = 0;
  int64_t end_of_document = 0;  // id
  int64_t train_documents = 0;
  int64_t train_tokens = 0;
  int64_t held_out_documents = 0;

  std::filesystem::path train_prefix() const { return folder / "train"; }
  std::filesystem::path tokenizer_dir() const { return folder / "tokenizer"; }
};

// Makes `folder` hold the data that `settings` ask for. Asks governance for access in any case, so
// a permission withdrawn since the last attempt stops the job; what an earlier attempt prepared
// with equal settings is verified by its checksums and used again, at the dataset version it was
// made of. `registry_dir` is where settings.tokenizer.from_model lies. Errors: those of
// DatasetSource; InvalidArgument for files that are not documents; FailedPrecondition when no
// document is left to train on; ResourceExhausted: disk full.
absl::StatusOr<PreparedData> PrepareData(const PretrainSettings& settings,
                                         const std::filesystem::path& folder,
                                         const std::filesystem::path& registry_dir,
                                         DatasetSource& source);

// Reads prepared.json. NotFound; DataLoss: malformed. Does not verify checksums.
absl::StatusOr<PreparedData> ReadPrepared(const std::filesystem::path& folder);

// Rank 0, after PrepareData: tells the other ranks of this attempt.
absl::Status AnnounceReady(const std::filesystem::path& folder, int64_t attempt);
// The other ranks: polls for the announcement. DeadlineExceeded after `timeout`.
absl::Status AwaitReady(const std::filesystem::path& folder, int64_t attempt,
                        absl::Duration timeout);

// Calls `visit` with every document of the dataset, file by file in the version's order.
absl::Status ForEachDocument(DatasetSource& source, const OpenedDataset& dataset,
                             const DocumentRules& rules, DocumentSplitter::Visitor visit);

}  // namespace oneai::platform

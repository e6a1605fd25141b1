// File: model_platform/data/documents.h
//
// Files to documents, as a stream: a file of any size, a document of bounded size.
#pragma once

#include <functional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model_platform/settings/settings.h"

namespace oneai::platform {

enum class DocumentFormat {
  kText,       // .txt, .text, .md: cut at the separator
  kJsonLines,  // .jsonl, .ndjson: one {"text": ...} a line; other keys are ignored
};

// By the file's extension. InvalidArgument names the file and the extensions that are read.
absl::StatusOr<DocumentFormat> FormatOf(absl::string_view path);

inline constexpr size_t kDocumentBytesMax = 64 << 20;

// Cuts the bytes of one file into documents and passes them on, in order. Empty documents are
// dropped. Thread-compatible.
class DocumentSplitter {
 public:
  using Visitor = absl::FunctionRef<absl::Status(absl::string_view document)>;

  // `path` names the file in errors.
  DocumentSplitter(std::string path, DocumentFormat format, DocumentRules rules)
      : path_(std::move(path)), format_(format), rules_(std::move(rules)) {}

  // InvalidArgument, with the line number: a line that is not a JSON object with a string "text",
  // or a document larger than kDocumentBytesMax. Errors of `visit` are returned as they are.
  absl::Status Feed(absl::string_view bytes, Visitor visit);
  // Call once, at the end of the file.
  absl::Status Finish(Visitor visit);

 private:
  absl::Status TakePiece(absl::string_view piece, Visitor visit);
  absl::Status TakeLine(absl::string_view line, Visitor visit);
  absl::Status FlushParagraphs(Visitor visit);
  absl::string_view Delimiter() const;

  const std::string path_;
  const DocumentFormat format_;
  const DocumentRules rules_;
  std::string pending_;     // bytes after the last delimiter
  size_t searched_ = 0;     // of pending_, known to hold no delimiter
  std::string paragraphs_;  // pieces gathered for one document
  int64_t num_paragraphs_ = 0;
  int64_t line_ = 0;
};

// Is the document in the held-out split? A function of its text alone, so the split is the same for
// every job, machine and order of files, and copies of one text never fall on both sides.
// `ratio` in [0, 1).
bool IsHeldOut(absl::string_view document, double ratio);

}  // namespace oneai::platform

#include "model_platform/data/documents.h"

#include <algorithm>
#include <filesystem>

#include "base/status.h"
#include "models/json/json_reader.h"

namespace oneai::platform {
namespace {

absl::string_view Strip(absl::string_view text, absl::string_view what) {
  const size_t begin = text.find_first_not_of(what);
  if (begin == absl::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(what) - begin + 1);
}

}  // namespace

absl::StatusOr<DocumentFormat> FormatOf(absl::string_view path) {
  const std::string extension = std::filesystem::path(std::string(path)).extension().string();
  if (extension == ".txt" || extension == ".text" || extension == ".md") {
    return DocumentFormat::kText;
  }
  if (extension == ".jsonl" || extension == ".ndjson") return DocumentFormat::kJsonLines;
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": cannot tell documents from extension '", extension,
                   "'; text is read from .txt, .text, .md and JSON lines from .jsonl, .ndjson"));
}

absl::string_view DocumentSplitter::Delimiter() const {
  return format_ == DocumentFormat::kJsonLines ? absl::string_view("\n") : rules_.separator;
}

absl::Status DocumentSplitter::Feed(absl::string_view bytes, Visitor visit) {
  absl::StrAppend(&pending_, bytes);
  const absl::string_view delimiter = Delimiter();
  size_t begin = 0;
  while (!delimiter.empty()) {
    const size_t found = absl::string_view(pending_).find(delimiter, std::max(begin, searched_));
    if (found == absl::string_view::npos) break;
    RETURN_IF_ERROR(TakePiece(absl::string_view(pending_).substr(begin, found - begin), visit));
    begin = found + delimiter.size();
  }
  pending_.erase(0, begin);
  // A delimiter may straddle this chunk's end and the next one's beginning.
  const size_t overlap = delimiter.empty() ? 0 : delimiter.size() - 1;
  searched_ = pending_.size() > overlap ? pending_.size() - overlap : 0;
  if (pending_.size() > kDocumentBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": a document is larger than ",
                                                   kDocumentBytesMax,
                                                   " bytes; set document_separator"));
  }
  return absl::OkStatus();
}

absl::Status DocumentSplitter::Finish(Visitor visit) {
  if (!pending_.empty()) RETURN_IF_ERROR(TakePiece(pending_, visit));
  pending_.clear();
  searched_ = 0;
  return FlushParagraphs(visit);
}

absl::Status DocumentSplitter::TakePiece(absl::string_view piece, Visitor visit) {
  ++line_;
  if (format_ == DocumentFormat::kJsonLines) return TakeLine(piece, visit);
  if (Strip(piece, " \t\r\n").empty()) return absl::OkStatus();
  if (rules_.separator.empty()) return visit(piece);
  // Blank lines beyond the separator belong to nobody.
  if (num_paragraphs_ > 0) paragraphs_.append(rules_.separator);
  absl::StrAppend(&paragraphs_, Strip(piece, "\r\n"));
  if (paragraphs_.size() > kDocumentBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": a document is larger than ",
                                                   kDocumentBytesMax,
                                                   " bytes; lower paragraphs_per_document"));
  }
  return ++num_paragraphs_ == rules_.paragraphs_per_document ? FlushParagraphs(visit)
                                                             : absl::OkStatus();
}

absl::Status DocumentSplitter::FlushParagraphs(Visitor visit) {
  if (num_paragraphs_ == 0) return absl::OkStatus();
  num_paragraphs_ = 0;
  const std::string document = std::move(paragraphs_);
  paragraphs_.clear();
  return visit(document);
}

absl::Status DocumentSplitter::TakeLine(absl::string_view line, Visitor visit) {
  if (Strip(line, " \t\r").empty()) return absl::OkStatus();
  const std::string what = absl::StrCat(path_, ", line ", line_);
  models::JsonLimits limits;
  limits.bytes_max = kDocumentBytesMax;
  ASSIGN_OR_RETURN(const models::Json json, models::ParseJson(line, what, limits));
  ASSIGN_OR_RETURN(const models::JsonObject object, models::JsonObject::From(json, what));
  ASSIGN_OR_RETURN(const std::string text, object.String("text"));
  return text.empty() ? absl::OkStatus() : visit(text);
}

bool IsHeldOut(absl::string_view document, double ratio) {
  // FNV-1a, then a bijective mix so that the high bits depend on every byte.
  // Source: draft-eastlake-fnv; the finaliser of SplitMix64.
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : document) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
  hash ^= hash >> 31;
  return static_cast<double>(hash >> 11) * 0x1p-53 < ratio;
}

}  // namespace oneai::platform

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "base/config/reader.h"
#include "base/status.h"
#include "model_platform/settings/settings.h"

namespace oneai::platform {
namespace {

// A component of a name becomes a folder: what is allowed here can neither escape nor hide.
bool IsNameComponent(absl::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         (absl::ascii_isdigit(text[0]) || absl::ascii_islower(text[0])) &&
         std::ranges::all_of(text, [](unsigned char c) {
           return absl::ascii_isdigit(c) || absl::ascii_islower(c) || c == '.' || c == '_' ||
                  c == '-';
         });
}

absl::Status KeyError(absl::string_view key, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("key '", key, "': ", problem));
}

}  // namespace

bool IsQualifiedName(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  return parts.size() == 2 && std::ranges::all_of(parts, IsNameComponent);
}

bool IsReference(absl::string_view ref) {
  const std::vector<absl::string_view> parts = absl::StrSplit(ref, absl::MaxSplits('@', 1));
  return IsQualifiedName(parts[0]) && (parts.size() == 1 || IsNameComponent(parts[1]));
}

absl::Status Validate(const EvaluateSettings& s) {
  if (!IsReference(s.model)) {
    return KeyError("model", absl::StrCat("'", s.model, "' is not <unit>/<model>[@version]"));
  }
  if (!IsReference(s.dataset)) {
    return KeyError("dataset", absl::StrCat("'", s.dataset, "' is not <unit>/<name>[@version]"));
  }
  if (s.purpose.empty()) return KeyError("purpose", "is empty: governance must be told one");
  if (s.split == "all" && s.split_dataset_ratio >= 0) {
    return KeyError("split_dataset_ratio", "has no meaning with split \"all\"");
  }
  return absl::OkStatus();
}

absl::StatusOr<EvaluateSettings> ParseEvaluateSettings(absl::string_view text, std::string source) {
  ASSIGN_OR_RETURN(const ConfigDocument document, ConfigDocument::Parse(text, source));
  ConfigReader reader(document);
  EvaluateSettings s;
  reader.Required("model", s.model);
  reader.Required("dataset", s.dataset);
  reader.Optional("purpose", s.purpose);
  reader.OptionalChoice("task", s.task, {"perplexity"});
  reader.OptionalChoice("split", s.split, {"validation", "train", "all"});
  reader.Optional("split_dataset_ratio", s.split_dataset_ratio, Range{0, 0.9});
  s.has_document_rules = reader.Has("document_separator") || reader.Has("paragraphs_per_document");
  reader.Optional("document_separator", s.documents.separator);
  reader.Optional("paragraphs_per_document", s.documents.paragraphs_per_document, Range{1, 1e9});
  reader.Optional("max_length", s.max_length, Range{2, 1 << 20});
  reader.Optional("max_documents", s.max_documents, Range{1, 1e9});
  reader.OptionalChoice("weights", s.weights, {"stored", "int8", "int4"});
  RETURN_IF_ERROR(reader.Finish());
  if (absl::Status status = Validate(s); !status.ok()) return Annotate(status, source);
  return s;
}

}  // namespace oneai::platform

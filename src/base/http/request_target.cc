#include "base/http/request_target.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace oneai {
namespace {

enum class Plus { kLiteral, kSpace };

std::optional<std::string> PercentDecode(absl::string_view text, Plus plus) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus == Plus::kSpace) {
      decoded += ' ';
    } else if (text[i] != '%') {
      decoded += text[i];
    } else {
      if (i + 2 >= text.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) ||
          !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 2]))) {
        return std::nullopt;
      }
      decoded += absl::HexStringToBytes(text.substr(i + 1, 2));
      i += 2;
    }
  }
  return decoded;
}

absl::Status Refuse(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("bad request target: ", why));
}

}  // namespace

absl::StatusOr<RequestTarget> ParseRequestTarget(absl::string_view target) {
  if (target.empty() || target[0] != '/') return Refuse("it must begin with /");
  target = target.substr(0, target.find('#'));
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(target, absl::MaxSplits('?', 1));
  RequestTarget result;
  std::optional<std::string> path = PercentDecode(parts.first, Plus::kLiteral);
  if (!path.has_value()) return Refuse("bad percent escape");
  const bool has_control = std::any_of(path->begin(), path->end(),
                                       [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (has_control) return Refuse("control character");
  if (absl::StrContains(*path, '\\')) return Refuse("backslash");
  for (absl::string_view segment : absl::StrSplit(*path, '/')) {
    if (segment == "..") return Refuse("\"..\"");
  }
  result.path = *std::move(path);
  for (absl::string_view pair : absl::StrSplit(parts.second, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> assignment =
        absl::StrSplit(pair, absl::MaxSplits('=', 1));
    std::optional<std::string> name = PercentDecode(assignment.first, Plus::kSpace);
    std::optional<std::string> value = PercentDecode(assignment.second, Plus::kSpace);
    if (!name.has_value() || !value.has_value()) return Refuse("bad percent escape");
    result.query.emplace(*std::move(name), *std::move(value));
  }
  return result;
}

}  // namespace oneai

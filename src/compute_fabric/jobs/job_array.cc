#include "compute_fabric/jobs/job_array.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "compute_fabric/jobs/field_checks.h"

namespace oneai::fabric {
namespace {

constexpr int kParametersMax = 16;
constexpr int kValuesMax = 1000;
constexpr size_t kValueBytesMax = 4096;

// SplitMix64 (Steele, Lea and Flood, OOPSLA'14): the same numbers from the same seed in every
// build.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }  // [0, 1)

 private:
  uint64_t state_;
};

// The shortest text that reads back as the same number.
std::string NumberText(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, end.ptr);
}

absl::Status ValidateParameter(const v1::SweepParameter& parameter, bool random) {
  const std::string field = absl::StrCat("sweep.parameters.", parameter.name().substr(0, 64));
  const bool named = !parameter.name().empty() && parameter.name().size() <= 64 &&
                     !absl::ascii_isdigit(parameter.name()[0]) &&
                     std::all_of(parameter.name().begin(), parameter.name().end(),
                                 [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
  if (!named)
    return Wrong("sweep.parameters.name",
                 absl::StrCat(Shown(parameter.name()), " is no name; use letters, digits and '_'"));
  if (parameter.values_size() > 0) {
    RETURN_IF_ERROR(
        InRange(absl::StrCat(field, ".values"), parameter.values_size(), 1, kValuesMax));
    for (const std::string& value : parameter.values()) {
      if (value.size() > kValueBytesMax || value.find('\0') != std::string::npos)
        return Wrong(absl::StrCat(field, ".values"), "a value has at most 4096 bytes without NUL");
    }
    return absl::OkStatus();
  }
  if (!random)
    return Wrong(absl::StrCat(field, ".values"),
                 "is empty; a grid needs values (a range is drawn from with num_samples)");
  if (!std::isfinite(parameter.min()) || !std::isfinite(parameter.max()) ||
      parameter.min() >= parameter.max()) {
    return Wrong(absl::StrCat(field, ".max"),
                 absl::StrCat(parameter.max(), " must be above min ", parameter.min(),
                              "; the nearest valid value is ", parameter.min() + 1));
  }
  if (parameter.log_scale() && parameter.min() <= 0)
    return Wrong(
        absl::StrCat(field, ".min"),
        absl::StrCat(parameter.min(),
                     " must be above 0 on a logarithmic scale; the nearest valid value is ",
                     parameter.max() / 1000));
  return absl::OkStatus();
}

absl::Status ValidateSweep(const v1::SweepSpec& sweep) {
  RETURN_IF_ERROR(InRange("sweep.parameters", sweep.parameters_size(), 1, kParametersMax));
  RETURN_IF_ERROR(InRange("sweep.num_samples", sweep.num_samples(), 0, kArrayJobsMax));
  RETURN_IF_ERROR(InRange("sweep.running_max", sweep.running_max(), 0, kArrayJobsMax));
  std::set<std::string> names;
  int64_t points = 1;
  for (const v1::SweepParameter& parameter : sweep.parameters()) {
    RETURN_IF_ERROR(ValidateParameter(parameter, sweep.num_samples() > 0));
    if (!names.insert(parameter.name()).second)
      return Wrong("sweep.parameters.name", absl::StrCat(parameter.name(), " is named twice"));
    points = std::min<int64_t>(points * std::max(parameter.values_size(), 1), int64_t{1} << 40);
  }
  if (sweep.num_samples() == 0 && points > kArrayJobsMax) {
    return Wrong(
        "sweep.parameters",
        absl::StrCat("the grid has ", points, " points; at most ", kArrayJobsMax,
                     "; draw from it: the nearest valid value is num_samples ", kArrayJobsMax));
  }
  return absl::OkStatus();
}

std::string Draw(const v1::SweepParameter& parameter, Random& random) {
  if (parameter.values_size() > 0)
    return parameter.values(static_cast<int>(random.Next() % parameter.values_size()));
  const double share = random.Uniform();
  if (!parameter.log_scale())
    return NumberText(parameter.min() + share * (parameter.max() - parameter.min()));
  const double low = std::log(parameter.min());
  return NumberText(std::exp(low + share * (std::log(parameter.max()) - low)));
}

std::vector<ArrayPoint> RandomPoints(const v1::SweepSpec& sweep) {
  Random random(sweep.seed());
  std::vector<ArrayPoint> points(sweep.num_samples());
  for (int i = 0; i < sweep.num_samples(); ++i) {
    points[i].index = i;
    for (const v1::SweepParameter& parameter : sweep.parameters())
      points[i].values.emplace_back(parameter.name(), Draw(parameter, random));
  }
  return points;
}

// The last parameter varies fastest, as in nested loops.
std::vector<ArrayPoint> GridPoints(const v1::SweepSpec& sweep) {
  std::vector<ArrayPoint> points = {ArrayPoint{}};
  for (const v1::SweepParameter& parameter : sweep.parameters()) {
    std::vector<ArrayPoint> longer;
    longer.reserve(points.size() * parameter.values_size());
    for (const ArrayPoint& point : points) {
      for (const std::string& value : parameter.values()) {
        longer.push_back(point);
        longer.back().values.emplace_back(parameter.name(), value);
      }
    }
    points = std::move(longer);
  }
  for (size_t i = 0; i < points.size(); ++i) points[i].index = static_cast<int>(i);
  return points;
}

absl::StatusOr<int64_t> ParseIndex(absl::string_view text, absl::string_view part) {
  int64_t value = 0;
  if (text.empty() || !absl::SimpleAtoi(text, &value) || value < 0 || value > kArrayIndexMax) {
    return Wrong("array.indices", absl::StrCat(Shown(part), ": ", Shown(text),
                                               " is no number from 0 to ", kArrayIndexMax,
                                               "; write for example \"0-9\", \"1,3,7\" or "
                                               "\"0-100:10%4\""));
  }
  return value;
}

absl::Status AddPart(absl::string_view part, std::set<int>& indices) {
  const std::pair<absl::string_view, absl::string_view> by_step =
      absl::StrSplit(part, absl::MaxSplits(':', 1));
  const std::pair<absl::string_view, absl::string_view> range =
      absl::StrSplit(by_step.first, absl::MaxSplits('-', 1));
  const bool is_range = by_step.first.find('-') != absl::string_view::npos;
  ASSIGN_OR_RETURN(const int64_t first, ParseIndex(range.first, part));
  int64_t last = first;
  int64_t step = 1;
  if (is_range) {
    ASSIGN_OR_RETURN(last, ParseIndex(range.second, part));
  }
  if (part.find(':') != absl::string_view::npos) {
    ASSIGN_OR_RETURN(step, ParseIndex(by_step.second, part));
  }
  if (last < first) {
    return Wrong("array.indices", absl::StrCat(Shown(part),
                                               " ends before it begins; the nearest "
                                               "valid value is \"",
                                               last, "-", first, "\""));
  }
  if (step < 1)
    return Wrong("array.indices",
                 absl::StrCat(Shown(part), " has step 0; the nearest valid value is 1"));
  for (int64_t index = first; index <= last; index += step) {
    indices.insert(static_cast<int>(index));
    if (indices.size() > kArrayJobsMax) {
      return Wrong("array.indices", absl::StrCat("more than ", kArrayJobsMax,
                                                 " jobs; submit several arrays; the nearest valid "
                                                 "value ends at index ",
                                                 index - step));
    }
  }
  return absl::OkStatus();
}

bool IsJsonScalar(const std::string& value) {
  double number = 0;
  if (value == "true" || value == "false") return true;
  // JSON numbers begin with a digit or a minus; "nan", "inf" and "0x1" are text to it.
  if (value.empty() || !(absl::ascii_isdigit(value[0]) || value[0] == '-')) return false;
  return value.find_first_of("xXnNiI") == std::string::npos && absl::SimpleAtod(value, &number) &&
         std::isfinite(number);
}

std::string JsonEscaped(const std::string& value) {
  std::string out;
  for (char c : value) {
    if (c == '"' || c == '\\') {
      absl::StrAppend(&out, "\\", std::string(1, c));
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppend(&out, "\\u", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad4));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<ArrayIndices> ParseArrayIndices(absl::string_view text) {
  ArrayIndices result;
  const size_t percent = text.find('%');
  if (percent != absl::string_view::npos) {
    ASSIGN_OR_RETURN(const int64_t running, ParseIndex(text.substr(percent + 1), text));
    RETURN_IF_ERROR(InRange("array.indices", running, 1, kArrayJobsMax));
    result.running_max = static_cast<int>(running);
    text = text.substr(0, percent);
  }
  std::set<int> indices;
  for (absl::string_view part : absl::StrSplit(text, ','))
    RETURN_IF_ERROR(AddPart(absl::StripAsciiWhitespace(part), indices));
  result.indices.assign(indices.begin(), indices.end());
  return result;
}

bool IsArray(const v1::JobSpec& spec) { return spec.has_array() || spec.has_sweep(); }

int RunningMaxOf(const v1::JobSpec& spec) {
  if (spec.has_sweep()) return spec.sweep().running_max();
  if (spec.array().running_max() > 0) return spec.array().running_max();
  const absl::StatusOr<ArrayIndices> parsed = ParseArrayIndices(spec.array().indices());
  return parsed.ok() ? parsed->running_max : 0;
}

absl::StatusOr<std::vector<ArrayPoint>> ExpandArray(const v1::JobSpec& spec) {
  std::vector<ArrayPoint> points;
  if (!IsArray(spec)) return points;
  if (spec.has_array() && spec.has_sweep())
    return Wrong("sweep", "and array are both set; set one of them");
  if (spec.long_running())
    return Wrong(spec.has_sweep() ? "sweep" : "array", "replicas of an endpoint are no array");
  if (spec.has_sweep()) {
    RETURN_IF_ERROR(ValidateSweep(spec.sweep()));
    return spec.sweep().num_samples() > 0 ? RandomPoints(spec.sweep()) : GridPoints(spec.sweep());
  }
  RETURN_IF_ERROR(InRange("array.running_max", spec.array().running_max(), 0, kArrayJobsMax));
  ASSIGN_OR_RETURN(const ArrayIndices parsed, ParseArrayIndices(spec.array().indices()));
  if (spec.array().running_max() > 0 && parsed.running_max > 0 &&
      parsed.running_max != spec.array().running_max()) {
    return Wrong("array.running_max",
                 absl::StrCat(spec.array().running_max(), " contradicts %", parsed.running_max,
                              "; the nearest valid value is ", parsed.running_max));
  }
  for (int index : parsed.indices) points.push_back({.index = index});
  return points;
}

v1::JobSpec SpecOfPoint(const v1::JobSpec& spec, const ArrayPoint& point) {
  v1::JobSpec one = spec;
  one.clear_array();
  one.clear_sweep();
  if (point.values.empty()) return one;
  std::vector<std::pair<std::string, std::string>> text;
  std::vector<std::pair<std::string, std::string>> json;
  for (const auto& [name, value] : point.values) {
    const std::string wanted = absl::StrCat("${", name, "}");
    text.emplace_back(wanted, value);
    // The longer match wins, so the quoted form is found before the bare one.
    json.emplace_back(absl::StrCat("\"", wanted, "\""),
                      IsJsonScalar(value) ? value : absl::StrCat("\"", JsonEscaped(value), "\""));
    json.emplace_back(wanted, JsonEscaped(value));
  }
  for (std::string& argument : *one.mutable_command())
    argument = absl::StrReplaceAll(argument, text);
  for (auto& [name, value] : *one.mutable_env()) value = absl::StrReplaceAll(value, text);
  if (!one.config_json().empty()) one.set_config_json(absl::StrReplaceAll(one.config_json(), json));
  return one;
}

std::string IdOfArrayJob(absl::string_view array_id, int index) {
  // FNV-1a spread by SplitMix64; 10 characters of 32 are 50 bits, and the store refuses a
  // collision.
  uint64_t hash = 1469598103934665603ull;
  for (unsigned char c : absl::StrCat(array_id, "/", index)) hash = (hash ^ c) * 1099511628211ull;
  uint64_t bits = Random(hash).Next();
  std::string id = "job-";
  for (int i = 0; i < 10; ++i, bits >>= 5)
    id.push_back("abcdefghijkmnpqrstuvwxyz23456789"[bits & 31]);
  return id;
}

}  // namespace oneai::fabric

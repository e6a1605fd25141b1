#include "cli/queue_file.h"

#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/config/reader.h"
#include "base/config/scalar.h"
#include "base/status.h"

namespace oneai::cli {
namespace {

using WireAmounts = google::protobuf::Map<std::string, int64_t>;

constexpr double kCountMax = 1e12;  // devices or cores

// "64", "0.5" devices or cores as thousandths; memory as bytes. Nothing: `problem` says why.
std::optional<int64_t> ParseAmount(const std::string& resource, const std::string& text,
                                   std::string& problem) {
  if (absl::StartsWith(text, "-")) {
    problem = absl::StrCat(text, " is below 0; nearest valid: 0");
    return std::nullopt;
  }
  if (resource == "memory") {
    const std::optional<int64_t> bytes = ParseBytes(text);
    if (!bytes) problem = absl::StrCat("\"", text, "\" is no size, such as 512GiB");
    return bytes;
  }
  const std::optional<double> count = ParseNumber(text);
  if (!count) {
    problem = absl::StrCat("\"", text, "\" is no number of ",
                           resource == "cpus" ? "cores" : "devices", ", such as 8");
    return std::nullopt;
  }
  if (*count > kCountMax) {
    problem = absl::StrCat(text, " is above ", kCountMax, "; nearest valid: ", kCountMax);
    return std::nullopt;
  }
  const double milli = std::round(*count * 1000);
  if (std::abs(milli - *count * 1000) > 1e-6) {
    problem = absl::StrCat(text, " is finer than a thousandth; nearest valid: ", milli / 1000);
    return std::nullopt;
  }
  return static_cast<int64_t>(milli);
}

void ReadAmounts(ConfigReader& reader, absl::string_view key, WireAmounts& amounts) {
  std::map<std::string, std::string> written;
  reader.Optional(key, written);
  for (const auto& [resource, text] : written) {
    if (resource == "cpu") {
      reader.Fail(key, "\"cpu\" is no device kind; cores are \"cpus\"");
      continue;
    }
    std::string problem;
    const std::optional<int64_t> amount = ParseAmount(resource, text, problem);
    if (!amount) {
      reader.Fail(key, absl::StrCat(resource, ": ", problem));
      continue;
    }
    amounts[resource == "cpus" ? "cpu" : resource] = *amount;
  }
}

void ReadQueue(ConfigReader& reader, fabric::v1::Queue& queue) {
  std::string path;
  reader.Required("queue", path);
  if (path == "/") path.clear();  // the root
  queue.set_project(path);
  ReadAmounts(reader, "nominal", *queue.mutable_nominal());
  ReadAmounts(reader, "borrowing_limit", *queue.mutable_borrowing_limit());
  ReadAmounts(reader, "lending_limit", *queue.mutable_lending_limit());
  ReadAmounts(reader, "limit", *queue.mutable_limit());
  double weight = 1;
  reader.Optional("weight", weight, Range{1e-6, 1e6});
  queue.set_weight(weight);
  bool reserve = false;
  bool sandbox = false;
  reader.Optional("reserve", reserve);
  reader.Optional("sandbox", sandbox);
  queue.set_reserve(reserve);
  queue.set_sandbox(sandbox);
}

}  // namespace

absl::StatusOr<fabric::v1::SetQueuesRequest> ParseQueueFile(absl::string_view text,
                                                            const std::string& source) {
  ASSIGN_OR_RETURN(const ConfigDocument document, ConfigDocument::Parse(text, source));
  ConfigReader reader(document);
  fabric::v1::SetQueuesRequest request;
  std::vector<ConfigReader> queues = reader.Sections("queues");
  if (!reader.Has("queues")) {
    RETURN_IF_ERROR(reader.Finish());  // a misspelt key says more
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": \"queues\" is missing; list at least one queue"));
  }
  if (queues.empty()) reader.Fail("queues", "is empty; list at least one queue");
  if (queues.size() > kQueuesInFileMax) {
    reader.Fail("queues", absl::StrCat("lists ", queues.size(), " queues, at most ",
                                       kQueuesInFileMax, "; set the rest from a second file"));
    return reader.Finish();
  }
  std::set<std::string> paths;
  for (ConfigReader& section : queues) {
    fabric::v1::Queue& queue = *request.add_queues();
    ReadQueue(section, queue);
    if (!paths.insert(queue.project()).second) {
      section.Fail("queue", absl::StrCat("\"", queue.project(), "\" is listed twice; keep one"));
    }
  }
  RETURN_IF_ERROR(reader.Finish());
  return request;
}

}  // namespace oneai::cli

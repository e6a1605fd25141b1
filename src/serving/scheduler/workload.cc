#include "serving/scheduler/workload.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "models/json/json_reader.h"

namespace oneai::serving {
namespace {

constexpr int64_t kTokensMax = int64_t{1} << 24;

// "2023-11-16 18:15:46.6805900,374,44"
bool ParseCsvLine(absl::string_view line, RecordedRequest& request, absl::Time& time) {
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ',');
  std::string error;
  return fields.size() == 3 && absl::ParseTime("%E4Y-%m-%d %H:%M:%E*S", fields[0], &time, &error) &&
         absl::SimpleAtoi(fields[1], &request.num_prompt) &&
         absl::SimpleAtoi(fields[2], &request.num_output);
}

bool ParseJsonLine(absl::string_view line, RecordedRequest& request) {
  const absl::StatusOr<models::Json> json = models::ParseJson(line, "trace");
  if (!json.ok() || !json->is_object()) return false;
  for (const char* key : {"timestamp", "input_length", "output_length"}) {
    if (!json->contains(key) || !json->at(key).is_number()) return false;
  }
  request.arrival_s = json->at("timestamp").get<double>() / 1000;
  request.num_prompt = json->at("input_length").get<int64_t>();
  request.num_output = json->at("output_length").get<int64_t>();
  if (!json->contains("hash_ids") || !json->at("hash_ids").is_array()) return true;
  for (const models::Json& id : json->at("hash_ids")) {
    if (!id.is_number_unsigned()) return false;
    request.block_ids.push_back(id.get<uint64_t>());
  }
  return true;
}

uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

absl::StatusOr<std::vector<RecordedRequest>> ReadWorkload(const std::filesystem::path& file,
                                                          int64_t num_max) {
  std::ifstream in(file);
  if (!in) return absl::NotFoundError(absl::StrCat("cannot read the trace ", file.string()));
  const bool is_json = file.extension() == ".jsonl";
  std::vector<RecordedRequest> requests;
  absl::Time start;
  int64_t line_number = 0;
  for (std::string line;
       static_cast<int64_t>(requests.size()) < num_max && std::getline(in, line);) {
    ++line_number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || (!is_json && line_number == 1)) continue;  // the CSV's heading
    RecordedRequest request;
    absl::Time time;
    const bool parsed = is_json ? ParseJsonLine(line, request) : ParseCsvLine(line, request, time);
    if (parsed && !is_json) {
      if (requests.empty()) start = time;
      request.arrival_s = absl::ToDoubleSeconds(time - start);
    }
    const bool in_order = requests.empty() || request.arrival_s >= requests.back().arrival_s;
    if (!parsed || !in_order || request.num_prompt < 1 || request.num_prompt > kTokensMax ||
        request.num_output < 0 || request.num_output > kTokensMax) {
      return absl::InvalidArgumentError(
          absl::StrCat(file.string(), ", line ", line_number,
                       ": expected a request with a time not before the last one's and lengths"));
    }
    requests.push_back(std::move(request));
  }
  if (requests.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(file.string(), " holds no requests"));
  }
  return requests;
}

std::vector<int32_t> PromptOf(const RecordedRequest& request, int64_t vocab_size,
                              double length_scale) {
  const auto scaled = [length_scale](int64_t tokens) {
    return std::max<int64_t>(1, std::llround(static_cast<double>(tokens) * length_scale));
  };
  const int64_t num_tokens = scaled(request.num_prompt);
  const int64_t block = scaled(kRecordedBlockTokens);
  // Of its own where nothing is known.
  const uint64_t own = Mix(std::bit_cast<uint64_t>(request.arrival_s) ^
                           Mix(static_cast<uint64_t>(request.num_prompt) + 1));
  std::vector<int32_t> tokens;
  tokens.reserve(num_tokens);
  for (int64_t t = 0; t < num_tokens; ++t) {
    const size_t index = static_cast<size_t>(t / block);
    const uint64_t name =
        index < request.block_ids.size() ? Mix(request.block_ids[index] + 0x51ed27) : own + index;
    tokens.push_back(static_cast<int32_t>(Mix(name ^ Mix(static_cast<uint64_t>(t % block))) %
                                          static_cast<uint64_t>(vocab_size)));
  }
  return tokens;
}

}  // namespace oneai::serving

#include "benchmarks/serving/bench_cases.h"

#include <algorithm>
#include <regex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "serving/scheduler/workload.h"

namespace oneai::serving {
namespace {

struct Timing {
  double first_token_s = 0;  // until every request had its first token
  double rest_s = 0;         // from then to the last token
};

GenerationRequest RandomRequest(const models::ModelConfig& config, int64_t num_prompt,
                                int64_t num_output, uint64_t salt) {
  GenerationRequest request;
  const uint64_t vocab = static_cast<uint64_t>(config.vocab_size);
  for (int64_t t = 0; t < num_prompt; ++t) {
    request.prompt.push_back(
        static_cast<int32_t>((static_cast<uint64_t>(t) * 7919 + salt * 104729 + 1) % vocab));
  }
  request.sampling.temperature = 0;
  request.sampling.max_tokens = num_output;
  return request;
}

// All at once; a first token counts from the submission of all.
Timing Run(BenchModel& model, int num_requests, int64_t num_prompt, int64_t num_output) {
  std::vector<std::shared_ptr<GenerationStream>> streams;
  const absl::Time start = absl::Now();
  for (int i = 0; i < num_requests; ++i) {
    streams.push_back(
        *model.engine->Submit(RandomRequest(model.config, num_prompt, num_output, i)));
  }
  std::vector<bool> finished;
  int64_t num_early = 0;
  for (auto& stream : streams) {
    const GenerationEvent event = stream->Wait();
    num_early += static_cast<int64_t>(event.token_ids.size());
    finished.push_back(event.last());
  }
  const absl::Time first = absl::Now();
  for (size_t i = 0; i < streams.size(); ++i) {
    while (!finished[i]) finished[i] = streams[i]->Wait().last();
  }
  // Tokens that came before the slowest had its first are not part of the rest: the time per
  // remaining token is what counts.
  const double num_all = static_cast<double>(num_requests * num_output);
  const double rest = absl::ToDoubleSeconds(absl::Now() - first);
  const double share = (num_all - num_requests) / std::max(1.0, num_all - num_early);
  return {absl::ToDoubleSeconds(first - start), rest * share};
}

double Percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(share * static_cast<double>(values.size())))];
}

}  // namespace

BenchCase PrefillCase(int64_t num_tokens) {
  return {absl::StrCat("pp", num_tokens), true, 1, num_tokens, 1};
}

BenchCase DecodeCase(int num_sequences, int64_t depth, int64_t num_tokens) {
  return {absl::StrCat("tg", num_tokens, num_sequences > 1 ? absl::StrCat("x", num_sequences) : "",
                       depth > 0 ? absl::StrCat("@d", depth) : ""),
          false, num_sequences, std::max<int64_t>(depth, 1), num_tokens};
}

absl::StatusOr<BenchCase> ParseCase(const std::string& name) {
  static const std::regex form(
      "(?:pp([0-9]{1,6})|tg([0-9]{1,6})(?:x([0-9]{1,3}))?(?:@d([0-9]{1,6}))?)");
  std::smatch part;
  const bool matches = std::regex_match(name, part, form);
  const auto number = [&](int i) { return part[i].matched ? std::stoi(part[i].str()) : 1; };
  if (!matches || number(1) == 0 || number(2) == 0 || number(3) == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--only: \"", name, "\" is no case; write pp512, tg128, tg128@d2048 or tg32x16"));
  }
  if (part[1].matched) return PrefillCase(number(1));
  return DecodeCase(number(3), part[4].matched ? number(4) : 0, number(2));
}

CaseWork WorkOf(const BenchCase& bench_case, const ModelCost& cost) {
  const double batch = bench_case.num_sequences;
  const double prompt = static_cast<double>(bench_case.num_prompt);
  if (bench_case.measures_prompt) {
    return {batch * prompt, cost.weight_bytes,
            batch * (prompt * cost.body_flops + cost.head_flops +
                     cost.attention_flops * prompt * (prompt + 1) / 2)};
  }
  const double steps = static_cast<double>(bench_case.num_output);
  const double context = prompt + steps / 2;
  return {batch * steps, steps * (cost.weight_bytes + batch * context * cost.kv_bytes),
          steps * batch * (cost.body_flops + cost.head_flops + cost.attention_flops * context)};
}

double RunOnce(BenchModel& model, const BenchCase& bench_case) {
  const bool is_prompt = bench_case.measures_prompt;
  const Timing timing = Run(model, bench_case.num_sequences, bench_case.num_prompt,
                            is_prompt ? 1 : bench_case.num_output + 1);
  return is_prompt ? timing.first_token_s : timing.rest_s;
}

absl::StatusOr<LoadResult> MeasureLoad(BenchModel& model, const LoadOptions& options) {
  ASSIGN_OR_RETURN(std::vector<RecordedRequest> recorded,
                   ReadWorkload(options.trace, options.num_requests));
  const double span = recorded.back().arrival_s - recorded.front().arrival_s;
  const double speed =
      options.requests_per_s * span / std::max(1.0, static_cast<double>(recorded.size() - 1));
  struct Answer {
    std::vector<absl::Time> tokens;
    absl::Time submitted;
    TokenUsage usage;
    bool refused = false;
  };
  std::vector<Answer> answers(recorded.size());
  std::vector<std::thread> readers;
  const absl::Time start = absl::Now();
  const int64_t context = model.engine->options().max_context_tokens;
  for (size_t i = 0; i < recorded.size(); ++i) {
    const auto scaled = [&](int64_t tokens) {
      return std::max<int64_t>(
          1, static_cast<int64_t>(static_cast<double>(tokens) * options.length_scale));
    };
    const int64_t num_output = std::min(scaled(recorded[i].num_output), context / 2);
    GenerationRequest request = RandomRequest(model.config, 0, num_output, i);
    request.prompt = PromptOf(recorded[i], model.config.vocab_size, options.length_scale);
    request.prompt.resize(
        std::min<size_t>(request.prompt.size(), static_cast<size_t>(context - num_output)));
    const double offset = speed > 0 ? (recorded[i].arrival_s - recorded[0].arrival_s) / speed : 0;
    absl::SleepFor(start + absl::Seconds(offset) - absl::Now());
    answers[i].submitted = absl::Now();
    auto stream = model.engine->Submit(std::move(request));
    if (!stream.ok()) {
      answers[i].refused = true;
      continue;
    }
    readers.emplace_back([answer = &answers[i], stream = *stream] {
      for (bool last = false; !last;) {
        const GenerationEvent event = stream->Wait();
        answer->tokens.insert(answer->tokens.end(), event.token_ids.size(), absl::Now());
        last = event.last();
        if (last) answer->usage = event.usage;
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
  LoadResult result;
  result.seconds = absl::ToDoubleSeconds(absl::Now() - start);
  std::vector<double> ttft, itl;
  double num_hits = 0, num_good = 0;
  for (const Answer& answer : answers) {
    ++result.num_requests;
    result.num_refused += answer.refused;
    if (answer.tokens.empty()) continue;
    result.prompt_tokens += static_cast<double>(answer.usage.num_prompt_tokens);
    result.output_tokens += static_cast<double>(answer.tokens.size());
    num_hits += static_cast<double>(answer.usage.num_cached_prompt_tokens);
    ttft.push_back(absl::ToDoubleSeconds(answer.tokens[0] - answer.submitted));
    for (size_t t = 1; t < answer.tokens.size(); ++t) {
      itl.push_back(absl::ToDoubleSeconds(answer.tokens[t] - answer.tokens[t - 1]));
    }
    const double mean = absl::ToDoubleSeconds(answer.tokens.back() - answer.tokens[0]) /
                        std::max(1.0, static_cast<double>(answer.tokens.size() - 1));
    num_good += ttft.back() <= options.ttft_slo_s && mean <= options.itl_slo_s;
  }
  result.goodput_per_s = num_good / result.seconds;
  result.hit_share = num_hits / std::max(1.0, result.prompt_tokens);
  result.ttft_p50_s = Percentile(ttft, 0.5);
  result.ttft_p99_s = Percentile(ttft, 0.99);
  result.itl_p50_s = Percentile(itl, 0.5);
  result.itl_p99_s = Percentile(itl, 0.99);
  return result;
}

}  // namespace oneai::serving

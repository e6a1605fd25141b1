// What guessing gains: one checkpoint under every kind of speculation, the same requests each time.
// Prints tokens per second, how many guesses were right, the steps, what a row was found to cost,
// and the engine's own time per step (all but guesses and model). Answers are compared: they must
// be the same. Random weights show what guessing costs, and nothing about how often a trained head
// is right.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "models/runtime/cpu_model.h"
#include "serving/engine/cpu_model_runner.h"
#include "serving/engine/engine.h"

namespace oneai::serving {
namespace {

struct Arguments {
  std::string folder;
  int64_t num_sequences = 1, num_prompt = 64, num_output = 128;
};

class ForwardTime final : public EngineObserver {
 public:
  void OnStep(const StepReport& report) override {
    ++num_steps;
    total += report.forward_time;
  }
  void OnFirstToken(absl::Duration) override {}
  void OnNextToken(absl::Duration) override {}
  void OnFinished(const RequestReport&) override {}
  int64_t num_steps = 0;
  absl::Duration total;
};

// Half of each prompt repeats itself, so that there is something to look up.
GenerationRequest Request(const Arguments& arguments, int64_t vocab, uint32_t seed) {
  std::mt19937 random(seed);
  GenerationRequest request;
  for (int64_t i = 0; i < arguments.num_prompt; ++i) {
    const bool repeats = i >= 16 && i >= arguments.num_prompt / 2;
    request.prompt.push_back(repeats ? request.prompt[i - 16]
                                     : static_cast<int32_t>(random() % vocab));
  }
  request.sampling.temperature = 0;
  request.sampling.ignore_eos = true;
  request.sampling.max_tokens = arguments.num_output;
  return request;
}

absl::StatusOr<std::vector<std::vector<int32_t>>> Measure(const Arguments& arguments,
                                                          Speculation speculation,
                                                          const char* name) {
  models::CpuModelOptions model_options;
  model_options.draft_head = speculation == Speculation::kMtp;
  auto model = models::CpuModel::Load(arguments.folder, model_options);
  if (!model.ok()) return model.status();
  CpuRunnerOptions runner_options;
  const int64_t context = arguments.num_prompt + arguments.num_output;
  runner_options.kv_cache_bytes = (arguments.num_sequences + 1) * BlocksFor(context, kBlockTokens) *
                                  models::PagedKvCache::BlockBytes((*model)->config(), kBlockTokens,
                                                                   models::ComputeDtype::kBf16);
  runner_options.spare_state_bytes = 64 * models::RecurrentState::SlotBytes((*model)->config());
  auto runner = NewCpuModelRunner(*std::move(model), runner_options);
  if (!runner.ok()) return runner.status();
  EngineOptions options;
  options.max_context_tokens = context;
  options.speculation = speculation;
  const int64_t vocab = (*runner)->vocab_size();
  ForwardTime forward;
  auto engine = Engine::Create(options, *std::move(runner), TokenTable{vocab, {}, nullptr},
                               &forward, Clock::Real());
  if (!engine.ok()) return engine.status();
  const absl::Time start = absl::Now();
  std::vector<std::shared_ptr<GenerationStream>> streams;
  for (int64_t i = 0; i < arguments.num_sequences; ++i) {
    auto stream = (*engine)->Submit(Request(arguments, vocab, static_cast<uint32_t>(i)));
    if (!stream.ok()) return stream.status();
    streams.push_back(*std::move(stream));
  }
  std::vector<std::vector<int32_t>> answers(streams.size());
  for (size_t i = 0; i < streams.size(); ++i) {
    for (bool last = false; !last;) {
      const GenerationEvent event = streams[i]->Wait();
      answers[i].insert(answers[i].end(), event.token_ids.begin(), event.token_ids.end());
      last = event.last();
      if (last && !event.status.ok()) return event.status;
    }
  }
  const absl::Duration wall = absl::Now() - start;
  (*engine)->Stop();
  const EngineStats stats = (*engine)->stats();
  const auto num_tokens = static_cast<double>(arguments.num_sequences * arguments.num_output);
  std::printf("%-14s %9.1f tok/s %7ld steps %7ld guesses %7ld right %6.3f row cost %8.1f us/step\n",
              name, num_tokens / absl::ToDoubleSeconds(wall), stats.num_steps,
              stats.num_draft_tokens, stats.num_accepted_tokens, stats.draft_row_cost,
              absl::ToDoubleMicroseconds(wall - forward.total) /
                  static_cast<double>(std::max<int64_t>(1, forward.num_steps)));
  return answers;
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "speculation_bench MODEL_FOLDER [SEQUENCES [PROMPT [OUTPUT]]]\n");
    return 2;
  }
  Arguments arguments;
  arguments.folder = argv[1];
  if (argc > 2) arguments.num_sequences = std::max(1L, std::atol(argv[2]));
  if (argc > 3) arguments.num_prompt = std::max(1L, std::atol(argv[3]));
  if (argc > 4) arguments.num_output = std::max(2L, std::atol(argv[4]));
  const auto off = Measure(arguments, Speculation::kOff, "off");
  const auto lookup = Measure(arguments, Speculation::kPromptLookup, "prompt_lookup");
  const auto mtp = Measure(arguments, Speculation::kMtp, "mtp");
  for (const auto* answers : {&off, &lookup, &mtp}) {
    if (!answers->ok()) {
      std::fprintf(stderr, "%s\n", answers->status().ToString().c_str());
      return 1;
    }
    if (**answers == *off) continue;
    std::fprintf(stderr, "an answer depends on speculation\n");
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace oneai::serving

int main(int argc, char** argv) { return oneai::serving::Main(argc, argv); }

// What a form costs end to end: the same engine answers freely and under a JSON schema, in turns.
//   form_bench --model DIR [--quantize int8|int4] [--sequences N] [--tokens N] [--rounds N]
// DIR needs a tokenizer of the real size for the figure to mean anything: masks have a bit per
// token. Three forms: a text of any length, in which nothing is forced, so that the ratio is what
// masks cost; records with many fields, where text that must come is appended without asking the
// model; and records with that switched off, in which every token is sampled under a mask.
// Prints medians and extremes of tokens/s, and the engine's time outside the model per step.
#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "base/status.h"
#include "serving/replica/loaded_model.h"

namespace oneai::serving {
namespace {

struct Flags {
  std::string model;
  std::string quantize = "none";
  int sequences = 16;
  int tokens = 48;
  int rounds = 5;
};

absl::StatusOr<Flags> ParseFlags(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i + 1 < argc; i += 2) {
    const absl::string_view name = argv[i];
    const std::string value = argv[i + 1];
    bool ok = true;
    if (name == "--model") {
      flags.model = value;
    } else if (name == "--quantize") {
      flags.quantize = value;
    } else if (name == "--sequences") {
      ok = absl::SimpleAtoi(value, &flags.sequences) && flags.sequences > 0;
    } else if (name == "--tokens") {
      ok = absl::SimpleAtoi(value, &flags.tokens) && flags.tokens > 1;
    } else if (name == "--rounds") {
      ok = absl::SimpleAtoi(value, &flags.rounds) && flags.rounds > 0;
    } else {
      return absl::InvalidArgumentError(absl::StrCat("unknown flag ", name));
    }
    if (!ok) return absl::InvalidArgumentError(absl::StrCat(name, " does not take ", value));
  }
  if (flags.model.empty()) return absl::InvalidArgumentError("--model DIR is needed");
  return flags;
}

// The model's part of the time.
class StepTimes final : public EngineObserver {
 public:
  void OnStep(const StepReport& report) override {
    ++num_steps;
    model += report.forward_time;
  }
  void OnFirstToken(absl::Duration) override {}
  void OnNextToken(absl::Duration) override {}
  void OnFinished(const RequestReport&) override {}
  int64_t num_steps = 0;
  absl::Duration model;
};

struct Form {
  const char* name;
  const char* schema;  // null: free text
  bool jump_ahead;
};
constexpr char kText[] = R"({"type":"array","items":{"type":"string"},"minItems":1000})";
constexpr char kRecords[] =
    R"({"type":"array","minItems":1000,"items":{"type":"object","additionalProperties":false,)"
    R"("properties":{"customer_name":{"type":"string","maxLength":12},"age":{"type":"integer","minimum":0,"maximum":150},)"
    R"("role":{"enum":["admin","editor","viewer"]},"address":{"type":"object","properties":{)"
    R"("street":{"type":"string","maxLength":12},"zip":{"type":"string","pattern":"^[0-9]{5}$"}},)"
    R"("required":["street","zip"],"additionalProperties":false}},)"
    R"("required":["customer_name","age","role","address"]}})";
constexpr Form kForms[] = {{"free text", nullptr, true},
                           {"text in JSON", kText, true},
                           {"records", kRecords, true},
                           {"records, each token sampled", kRecords, false}};

struct Measured {
  std::vector<double> tokens_per_s, ratios;
  double outside_us = 0;  // a step
};

class FormBench {
 public:
  explicit FormBench(Flags flags) : flags_(std::move(flags)) {}

  absl::Status Run() {
    // Two engines of one checkpoint, as jump-ahead is a setting of the engine.
    RETURN_IF_ERROR(Open(with_jumps_, true));
    RETURN_IF_ERROR(Open(without_jumps_, false));
    std::vector<Measured> measured(std::size(kForms));
    for (int round = -1; round < flags_.rounds; ++round) {  // the first warms up
      double free = 0;
      for (size_t f = 0; f < std::size(kForms); ++f) {
        const Form& form = kForms[f];
        ASSIGN_OR_RETURN(const Once once,
                         RunOnce(form.jump_ahead ? with_jumps_ : without_jumps_, form.schema));
        if (form.schema == nullptr) free = once.tokens_per_s;
        if (round < 0) continue;
        measured[f].tokens_per_s.push_back(once.tokens_per_s);
        measured[f].ratios.push_back(once.tokens_per_s / free);
        measured[f].outside_us += once.outside_us / flags_.rounds;
      }
    }
    std::printf("%d sequences of %d tokens, medians of %d rounds\n", flags_.sequences,
                flags_.tokens, flags_.rounds);
    for (size_t f = 0; f < std::size(kForms); ++f) Print(kForms[f].name, measured[f]);
    return absl::OkStatus();
  }

 private:
  struct Served {
    LoadedModel loaded;
    StepTimes times;
    std::unique_ptr<Engine> engine;
  };
  struct Once {
    double tokens_per_s, outside_us;
  };

  absl::Status Open(Served& served, bool jump_ahead) {
    ASSIGN_OR_RETURN(
        const ReplicaSettings settings,
        ParseReplicaSettings(
            absl::StrCat(R"({"model_dir":")", flags_.model, R"(","model_name":"m","quantize":")",
                         flags_.quantize, R"(","max_context_tokens":1024,"prefix_cache":false,)",
                         R"("max_running_sequences":64,"kv_cache_bytes":"1GiB"})"),
            "flags"));
    ASSIGN_OR_RETURN(served.loaded, LoadModel(settings));
    if (served.loaded.grammars == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(flags_.model, " names no end token: set eos_token_id in its config"));
    }
    served.loaded.tokens.jump_ahead = jump_ahead;
    ASSIGN_OR_RETURN(served.engine,
                     Engine::Create(served.loaded.engine_options, std::move(served.loaded.runner),
                                    served.loaded.tokens, &served.times, Clock::Real()));
    return absl::OkStatus();
  }

  absl::StatusOr<Once> RunOnce(Served& served, const char* schema) {
    std::shared_ptr<const CompiledGrammar> grammar;
    if (schema != nullptr) {
      GrammarSpec spec{.kind = GrammarSpec::Kind::kJsonSchema, .text = schema};
      ASSIGN_OR_RETURN(grammar, served.loaded.grammars->Get(spec));
    }
    const int64_t steps_before = served.times.num_steps;
    const absl::Duration model_before = served.times.model;
    std::vector<std::shared_ptr<GenerationStream>> streams;
    for (int i = 0; i < flags_.sequences; ++i) {
      GenerationRequest request;
      request.prompt = {100 + i, 200 + i};
      request.sampling.temperature = 1;
      request.sampling.seed = static_cast<uint64_t>(i);
      request.sampling.ignore_eos = schema == nullptr;
      request.sampling.max_tokens = flags_.tokens;
      request.grammar = grammar;
      ASSIGN_OR_RETURN(std::shared_ptr<GenerationStream> stream,
                       served.engine->Submit(std::move(request)));
      streams.push_back(std::move(stream));
    }
    const absl::Time start = absl::Now();
    int64_t num_tokens = 0;
    for (const auto& stream : streams) {
      for (bool last = false; !last;) {
        const GenerationEvent event = stream->Wait();
        RETURN_IF_ERROR(event.status);
        num_tokens += static_cast<int64_t>(event.token_ids.size());
        last = event.last();
      }
    }
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
    const double steps = static_cast<double>(served.times.num_steps - steps_before);
    const double model = absl::ToDoubleSeconds(served.times.model - model_before);
    return Once{static_cast<double>(num_tokens) / seconds,
                1e6 * (seconds - model) / std::max(1.0, steps)};
  }

  static void Print(const char* name, Measured measured) {
    std::sort(measured.tokens_per_s.begin(), measured.tokens_per_s.end());
    std::sort(measured.ratios.begin(), measured.ratios.end());
    const size_t half = measured.ratios.size() / 2;
    std::printf("%-28s %8.1f tokens/s  %.3f of free text (%.3f-%.3f)  %6.0f us a step outside\n",
                name, measured.tokens_per_s[half], measured.ratios[half], measured.ratios.front(),
                measured.ratios.back(), measured.outside_us);
  }

  const Flags flags_;
  Served with_jumps_, without_jumps_;
};

int Main(int argc, char** argv) {
  absl::StatusOr<Flags> flags = ParseFlags(argc, argv);
  const absl::Status status = flags.ok() ? FormBench(*std::move(flags)).Run() : flags.status();
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace oneai::serving

int main(int argc, char** argv) { return oneai::serving::Main(argc, argv); }

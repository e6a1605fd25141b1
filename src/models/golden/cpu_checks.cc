#include "models/golden/cpu_checks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/sampling/sampling.h"
#include "models/golden/hybrid_checks.h"
#include "models/runtime/cpu_model.h"

namespace oneai::models::golden {
namespace {

// A small, odd block, so that sequences cross blocks where nothing is aligned.
constexpr int64_t kBlockTokens = 5;

// A case being run: its tokens so far and its blocks.
struct RunningCase {
  const GoldenCase* golden = nullptr;
  std::vector<int32_t> block_table;
  int32_t state_slot = 0;
  std::vector<int64_t> expected, generated;
  int32_t next_token = 0;

  int64_t num_cached() const {
    return static_cast<int64_t>(golden->input_ids.size() + generated.size()) - 1;
  }
};

// Blocks are handed out last first and interleaved, so that tables are neither sorted nor
// contiguous.
std::vector<std::vector<int32_t>> DealBlocks(const std::vector<int64_t>& num_tokens,
                                             int64_t& num_blocks) {
  std::vector<int64_t> wanted;
  for (const int64_t tokens : num_tokens)
    wanted.push_back((tokens + kBlockTokens - 1) / kBlockTokens);
  num_blocks = std::accumulate(wanted.begin(), wanted.end(), int64_t{0});
  std::vector<std::vector<int32_t>> tables(wanted.size());
  int32_t next = static_cast<int32_t>(num_blocks);
  while (next > 0) {
    for (size_t i = 0; i < tables.size(); ++i) {
      if (static_cast<int64_t>(tables[i].size()) < wanted[i]) tables[i].push_back(--next);
    }
  }
  return tables;
}

// How goldens name the block that mixes tokens.
absl::string_view AttentionName(const ModelConfig& config, int64_t layer) {
  if (config.family == ModelFamily::kQwen) return ".attn";
  return config.layer_types[layer] == LayerType::kLinearAttention ? ".linear_attn" : ".self_attn";
}

class CpuChecks {
 public:
  CpuChecks(const Fixture& fixture, CpuModel& model, const StepMemory& memory,
            absl::string_view suffix, Report& report)
      : fixture_(fixture), model_(model), memory_(memory), suffix_(suffix), report_(report) {}

  // `slot`: its recurrent state, in models that have one.
  absl::Status CheckText(const GoldenCase& golden, const std::vector<int32_t>& blocks,
                         int32_t slot);
  absl::Status CheckEmbedding(const GoldenCase& golden, const std::vector<int32_t>& blocks);
  absl::Status CheckRerank(const GoldenCase& golden, const std::vector<int32_t>& blocks);
  absl::Status CheckScores(const GoldenCase& golden, const std::vector<int32_t>& blocks);
  // All text cases decode together, each joining from its first token.
  absl::Status CheckGreedy(std::vector<RunningCase> running);

 private:
  absl::Status Compare(absl::string_view check, const std::string& tensor,
                       absl::Span<const float> values);
  absl::Status CompareTrace(const GoldenCase& golden, qwen::Probe probe, int64_t layer,
                            const CpuTensor& x);
  // What the layer's router chose.
  absl::Status CompareRouting(const GoldenCase& golden, int64_t layer);

  const Fixture& fixture_;
  CpuModel& model_;
  const StepMemory memory_;
  const std::string suffix_;
  Report& report_;
};

absl::Status CpuChecks::Compare(absl::string_view check, const std::string& tensor,
                                absl::Span<const float> values) {
  ASSIGN_OR_RETURN(const std::vector<float> golden,
                   fixture_.Floats(tensor, static_cast<int64_t>(values.size())));
  report_.Add(absl::StrCat("cpu ", check, suffix_), tensor,
              DeviationInTolerances(values, golden, fixture_.tolerance()));
  return absl::OkStatus();
}

absl::Status CpuChecks::CompareTrace(const GoldenCase& golden, qwen::Probe probe, int64_t layer,
                                     const CpuTensor& x) {
  std::string name;
  switch (probe) {
    case qwen::Probe::kLayerInput:
      name = absl::StrCat(golden.name, ".hidden.", layer);
      break;
    case qwen::Probe::kAttention:
      name = absl::StrCat(golden.name, ".layer", layer, AttentionName(model_.config(), layer));
      break;
    case qwen::Probe::kMlp:
      name = absl::StrCat(golden.name, ".layer", layer, ".mlp");
      if (model_.config().IsSparse(layer)) RETURN_IF_ERROR(CompareRouting(golden, layer));
      break;
    case qwen::Probe::kFinal:
      name = absl::StrCat(golden.name, ".hidden.final");
      break;
  }
  const size_t count = golden.input_ids.size() * static_cast<size_t>(model_.config().hidden_size);
  return Compare("hidden", name, absl::MakeConstSpan(x.data, count));  // rows without gaps
}

absl::Status CpuChecks::CompareRouting(const GoldenCase& golden, int64_t layer) {
  const std::string router = absl::StrCat(golden.name, ".layer", layer, ".router.");
  const CpuOps::Routing routing = model_.ops().routing();
  const int64_t num_experts = model_.config().moe.num_experts;
  std::vector<float> logits;
  for (size_t t = 0; t < golden.input_ids.size(); ++t) {
    const auto row = routing.logits.begin() + static_cast<int64_t>(t) * routing.logits_stride;
    logits.insert(logits.end(), row, row + num_experts);
  }
  RETURN_IF_ERROR(Compare("router", router + "logits", logits));
  RETURN_IF_ERROR(Compare("router", router + "weights", routing.weights));
  ASSIGN_OR_RETURN(const std::vector<int64_t> experts, fixture_.Ints(router + "experts"));
  const bool equal = std::ranges::equal(experts, routing.experts);
  report_.Add(absl::StrCat("cpu experts", suffix_), router + "experts",
              equal ? 0 : std::numeric_limits<double>::infinity());
  return absl::OkStatus();
}

absl::Status CpuChecks::CheckText(const GoldenCase& golden, const std::vector<int32_t>& blocks,
                                  int32_t slot) {
  SequenceChunk chunk{golden.input_ids, 0, blocks, kAllRows};
  chunk.state_slot = slot;
  std::vector<float> logits;
  absl::Status traced;
  auto observe = [&](qwen::Probe probe, int64_t layer, const CpuTensor& x) {
    if (!golden.traced || !traced.ok()) return;
    traced = CompareTrace(golden, probe, layer, x);
    const bool linear = model_.config().layer_types[0] == LayerType::kLinearAttention;
    if (!traced.ok() || !linear || layer != 0 || probe != qwen::Probe::kAttention) return;
    traced = CheckDeltaNet(fixture_, golden, model_, *memory_.state, slot, suffix_, report_);
  };
  RETURN_IF_ERROR(model_.ForwardObserved({&chunk, 1}, memory_, logits, observe));
  RETURN_IF_ERROR(traced);
  return Compare("logits", absl::StrCat(golden.name, ".logits"), logits);
}

absl::Status CpuChecks::CheckEmbedding(const GoldenCase& golden,
                                       const std::vector<int32_t>& blocks) {
  const SequenceChunk chunk{golden.input_ids, 0, blocks, 1};
  std::vector<float> hidden;
  RETURN_IF_ERROR(model_.ForwardHidden({&chunk, 1}, memory_, hidden));
  RETURN_IF_ERROR(Compare("hidden", golden.name + ".last_hidden", hidden));
  for (const int64_t dimension :
       {static_cast<int64_t>(hidden.size()), fixture_.truncated_dimension()}) {
    if (dimension == 0) continue;
    if (dimension > static_cast<int64_t>(hidden.size())) {
      return absl::InvalidArgumentError("golden.json: truncated_dimension exceeds hidden_size");
    }
    std::vector<float> pooled(hidden.begin(), hidden.begin() + dimension);
    const double norm =
        std::sqrt(std::inner_product(pooled.begin(), pooled.end(), pooled.begin(), 0.0));
    for (float& x : pooled) x = static_cast<float>(x / norm);
    const bool whole = pooled.size() == hidden.size();
    RETURN_IF_ERROR(Compare(
        "embedding",
        whole ? golden.name + ".embedding" : absl::StrCat(golden.name, ".embedding_", dimension),
        pooled));
  }
  return absl::OkStatus();
}

absl::Status CpuChecks::CheckRerank(const GoldenCase& golden, const std::vector<int32_t>& blocks) {
  const SequenceChunk chunk{golden.input_ids, 0, blocks, 1};
  std::vector<float> logits;
  RETURN_IF_ERROR(model_.Forward({&chunk, 1}, memory_, logits));
  const int64_t vocab = model_.output_dim(), yes = fixture_.token_yes(), no = fixture_.token_no();
  if (yes < 0 || yes >= vocab || no < 0 || no >= vocab) {
    return absl::InvalidArgumentError(
        "golden.json: token_yes and token_no must be in the vocabulary");
  }
  RETURN_IF_ERROR(Compare("logits", golden.name + ".last_logits", logits));
  const float score = 1.0f / (1.0f + std::exp(logits[no] - logits[yes]));
  return Compare("score", golden.name + ".score", {&score, 1});
}

absl::Status CpuChecks::CheckScores(const GoldenCase& golden, const std::vector<int32_t>& blocks) {
  const SequenceChunk chunk{golden.input_ids, 0, blocks, 1};
  std::vector<float> scores;
  RETURN_IF_ERROR(model_.Forward({&chunk, 1}, memory_, scores));
  return Compare("scores", golden.name + ".scores", scores);
}

absl::Status CpuChecks::CheckGreedy(std::vector<RunningCase> running) {
  size_t num_steps = 0;
  for (const RunningCase& c : running) num_steps = std::max(num_steps, c.expected.size());
  std::vector<float> logits;
  for (size_t step = 0; step < num_steps; ++step) {
    std::vector<SequenceChunk> chunks;
    std::vector<RunningCase*> active;
    for (RunningCase& c : running) {
      if (c.generated.size() == c.expected.size()) continue;
      active.push_back(&c);
      if (step == 0) {
        chunks.push_back({c.golden->input_ids, 0, c.block_table, 1});
      } else {
        chunks.push_back({absl::MakeConstSpan(&c.next_token, 1), c.num_cached(), c.block_table, 1});
      }
      chunks.back().state_slot = c.state_slot;
      chunks.back().prompt_tokens = static_cast<int64_t>(c.golden->input_ids.size());
    }
    RETURN_IF_ERROR(model_.Forward(chunks, memory_, logits));
    for (size_t i = 0; i < active.size(); ++i) {
      active[i]->next_token =
          kernels::ArgMax(logits.data() + i * model_.output_dim(), model_.output_dim());
      active[i]->generated.push_back(active[i]->next_token);
    }
  }
  for (const RunningCase& c : running) {
    const auto [ours, theirs] = std::ranges::mismatch(c.generated, c.expected);
    const bool equal = ours == c.generated.end();
    report_.Add(absl::StrCat("cpu greedy", suffix_), c.golden->name + ".greedy",
                equal ? 0 : std::numeric_limits<double>::infinity(),
                equal ? ""
                      : absl::StrCat("token ", ours - c.generated.begin(), " is ", *ours,
                                     ", golden ", *theirs));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckOnCpu(const Fixture& fixture, const ModelConfig& config, Checkpoint checkpoint,
                        absl::string_view adapter, absl::string_view suffix, Report& report) {
  ASSIGN_OR_RETURN(const std::unique_ptr<CpuModel> model,
                   CpuModel::Create(config, std::move(checkpoint), {.dtype = ComputeDtype::kF32}));
  std::vector<RunningCase> text;
  std::vector<int64_t> num_tokens;
  std::vector<const GoldenCase*> cases;
  for (const GoldenCase& golden : fixture.cases()) {
    if (golden.adapter != adapter) continue;
    cases.push_back(&golden);
    int64_t tokens = static_cast<int64_t>(golden.input_ids.size());
    if (golden.kind == CaseKind::kText) {
      ASSIGN_OR_RETURN(std::vector<int64_t> expected, fixture.Ints(golden.name + ".greedy"));
      tokens += static_cast<int64_t>(expected.size());
      text.push_back({.golden = &golden, .expected = std::move(expected)});
    }
    num_tokens.push_back(tokens);
  }
  if (cases.empty()) return absl::OkStatus();
  int64_t num_blocks = 0;
  const std::vector<std::vector<int32_t>> tables = DealBlocks(num_tokens, num_blocks);
  ASSIGN_OR_RETURN(PagedKvCache cache,
                   PagedKvCache::Create(config, num_blocks, kBlockTokens, ComputeDtype::kF32));
  ASSIGN_OR_RETURN(RecurrentState state,
                   RecurrentState::Create(config, static_cast<int64_t>(cases.size())));
  CpuChecks checks(fixture, *model, {cache, &state}, suffix, report);
  size_t next_text = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    const GoldenCase& golden = *cases[i];
    switch (golden.kind) {
      case CaseKind::kText:
        text[next_text].block_table = tables[i];
        text[next_text++].state_slot = static_cast<int32_t>(i);
        RETURN_IF_ERROR(checks.CheckText(golden, tables[i], static_cast<int32_t>(i)));
        break;
      case CaseKind::kEmbedding:
        RETURN_IF_ERROR(checks.CheckEmbedding(golden, tables[i]));
        break;
      case CaseKind::kRerank:
        RETURN_IF_ERROR(checks.CheckRerank(golden, tables[i]));
        break;
      case CaseKind::kScores:
        RETURN_IF_ERROR(checks.CheckScores(golden, tables[i]));
        break;
    }
  }
  return text.empty() ? absl::OkStatus() : checks.CheckGreedy(std::move(text));
}

}  // namespace oneai::models::golden

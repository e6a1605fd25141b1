#include "models/golden/hybrid_checks.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/delta_net/delta_rule.h"

namespace oneai::models::golden {
namespace {

constexpr int64_t kBlockTokens = 5;

// Heads of each token, [T, heads, dim] in rows `stride` apart, each repeated `times` times.
std::vector<float> RepeatedHeads(const float* x, int64_t stride, int64_t num_tokens, int64_t heads,
                                 int64_t dim, int64_t times) {
  std::vector<float> repeated;
  for (int64_t t = 0; t < num_tokens; ++t) {
    for (int64_t h = 0; h < heads * times; ++h) {
      const float* head = x + t * stride + h / times * dim;
      repeated.insert(repeated.end(), head, head + dim);
    }
  }
  return repeated;
}

// The state of layer 0 as [value heads, key dim, value dim].
std::vector<float> FinalState(const DeltaNetConfig& c, const RecurrentState& state, int32_t slot) {
  const kernels::RecurrentStateView& view = state.layers()[0];
  std::vector<float> matrices;
  for (int64_t h = 0; h < c.num_value_heads; ++h) {
    const float* s = view.state + slot * view.slot_stride + h * c.key_dim * c.value_dim;
    for (int64_t i = 0; i < c.key_dim; ++i) {
      for (int64_t j = 0; j < c.value_dim; ++j) {
        matrices.push_back(s[kernels::DeltaStateIndex(c.key_dim, c.value_dim, i, j)]);
      }
    }
  }
  return matrices;
}

}  // namespace

absl::Status CheckDeltaNet(const Fixture& fixture, const GoldenCase& golden, const CpuModel& model,
                           RecurrentState& state, int32_t slot, absl::string_view suffix,
                           Report& report) {
  const DeltaNetConfig& c = model.config().delta_net;
  const DeltaNetTrace& trace = model.ops().delta_net_trace();
  const auto num_tokens = static_cast<int64_t>(golden.input_ids.size());
  const auto compare = [&](absl::string_view part, absl::Span<const float> values) -> absl::Status {
    const std::string name = absl::StrCat(golden.name, ".layer0.delta.", part);
    ASSIGN_OR_RETURN(const std::vector<float> expected,
                     fixture.Floats(name, static_cast<int64_t>(values.size())));
    report.Add(absl::StrCat("cpu delta net", suffix), name,
               DeviationInTolerances(values, expected, fixture.tolerance()));
    return absl::OkStatus();
  };
  const auto rows = [&](const float* x, int64_t width) {
    return absl::MakeConstSpan(x, static_cast<size_t>(num_tokens * width));
  };
  const int64_t repeats = c.num_value_heads / c.num_key_heads;
  const auto keys = [&](int64_t offset) {
    return RepeatedHeads(trace.mixed + offset, trace.mixed_stride, num_tokens, c.num_key_heads,
                         c.key_dim, repeats);
  };
  RETURN_IF_ERROR(compare("query", keys(0)));
  RETURN_IF_ERROR(compare("key", keys(c.key_width())));
  RETURN_IF_ERROR(
      compare("value", RepeatedHeads(trace.mixed + 2 * c.key_width(), trace.mixed_stride,
                                     num_tokens, c.num_value_heads, c.value_dim, 1)));
  RETURN_IF_ERROR(compare("g", rows(trace.g, c.num_value_heads)));
  RETURN_IF_ERROR(compare("beta", rows(trace.beta, c.num_value_heads)));
  RETURN_IF_ERROR(compare("out", rows(trace.out, c.value_width())));
  return compare("final_state", FinalState(c, state, slot));
}

absl::Status CheckDraftHead(const Fixture& fixture, const ModelConfig& config,
                            const Checkpoint& checkpoint, absl::string_view suffix,
                            Report& report) {
  if (fixture.mtp_prompt().empty()) return absl::OkStatus();
  const auto golden = std::ranges::find(fixture.cases(), fixture.mtp_prompt(), &GoldenCase::name);
  if (golden == fixture.cases().end() || golden->input_ids.size() < 2) {
    return absl::InvalidArgumentError("golden.json: mtp.prompt names no case of two tokens");
  }
  ASSIGN_OR_RETURN(
      const std::unique_ptr<CpuModel> model,
      CpuModel::Create(config, checkpoint, {.dtype = ComputeDtype::kF32, .draft_head = true}));
  const auto num_tokens = static_cast<int64_t>(golden->input_ids.size());
  std::vector<int32_t> blocks((num_tokens + kBlockTokens - 1) / kBlockTokens);
  std::iota(blocks.begin(), blocks.end(), 0);
  ASSIGN_OR_RETURN(PagedKvCache cache,
                   PagedKvCache::Create(model->config(), static_cast<int64_t>(blocks.size()),
                                        kBlockTokens, ComputeDtype::kF32));
  ASSIGN_OR_RETURN(RecurrentState state, RecurrentState::Create(model->config(), 1));
  const SequenceChunk chunk{.tokens = golden->input_ids,
                            .block_table = blocks,
                            .num_logit_rows = 0,
                            .num_hidden_rows = kAllRows};
  StepOutput step, draft;
  RETURN_IF_ERROR(model->Step({&chunk, 1}, {cache, &state}, step));

  absl::Status compared;
  const auto compare = [&](const std::string& name, absl::Span<const float> values) {
    if (!compared.ok()) return;
    const absl::StatusOr<std::vector<float>> expected =
        fixture.Floats(name, static_cast<int64_t>(values.size()));
    compared = expected.status();
    if (!compared.ok()) return;
    report.Add(absl::StrCat("cpu draft head", suffix), name,
               DeviationInTolerances(values, *expected, fixture.tolerance()));
  };
  const size_t elements = static_cast<size_t>((num_tokens - 1) * config.hidden_size);
  const DraftChunk drafts{.next_tokens = absl::MakeConstSpan(golden->input_ids).subspan(1),
                          .hidden = absl::MakeConstSpan(step.hidden).first(elements),
                          .block_table = blocks,
                          .num_logit_rows = kAllRows};
  const auto observe = [&](qwen::Probe, int64_t layer, const CpuTensor& x) {
    compare(layer == config.num_layers ? "mtp.fc_out" : "mtp.layer_out",
            absl::MakeConstSpan(x.data, elements));
  };
  RETURN_IF_ERROR(model->DraftObserved({&drafts, 1}, cache, draft, observe));
  compare("mtp.logits", draft.logits);
  return compared;
}

}  // namespace oneai::models::golden

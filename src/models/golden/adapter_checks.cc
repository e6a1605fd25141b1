#include "models/golden/adapter_checks.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/runtime/cpu_model.h"

namespace oneai::models::golden {
namespace {

constexpr int64_t kBlockTokens = 5;

}  // namespace

absl::Status CheckMixedAdapters(const Fixture& fixture, const ModelConfig& config,
                                const Checkpoint& base, absl::string_view suffix, Report& report) {
  ASSIGN_OR_RETURN(const std::unique_ptr<CpuModel> model,
                   CpuModel::Create(config, base, {.dtype = ComputeDtype::kF32}));
  std::map<std::string, int32_t> ids = {{"", kNoAdapter}};
  for (const std::string& name : fixture.adapters()) {
    ASSIGN_OR_RETURN(ids[name], model->adapters().Load(fixture.folder() / name));
  }
  std::vector<const GoldenCase*> cases;
  std::vector<std::vector<int32_t>> tables;
  int32_t num_blocks = 0;
  for (const GoldenCase& golden : fixture.cases()) {
    if (golden.kind != CaseKind::kText) continue;
    cases.push_back(&golden);
    std::vector<int32_t>& table = tables.emplace_back();
    const auto length = static_cast<int64_t>(golden.input_ids.size());
    for (int64_t at = 0; at < length; at += kBlockTokens) table.push_back(num_blocks++);
  }
  if (cases.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(PagedKvCache cache,
                   PagedKvCache::Create(config, num_blocks, kBlockTokens, ComputeDtype::kF32));
  std::vector<SequenceChunk> chunks;
  for (size_t i = 0; i < cases.size(); ++i) {
    chunks.push_back({.tokens = cases[i]->input_ids,
                      .block_table = tables[i],
                      .num_logit_rows = kAllRows,
                      .adapter = ids.at(cases[i]->adapter)});
  }
  std::vector<float> logits;
  RETURN_IF_ERROR(model->Forward(chunks, cache, logits));
  size_t begin = 0;
  for (const GoldenCase* golden : cases) {
    const size_t count = golden->input_ids.size() * static_cast<size_t>(model->output_dim());
    const std::string name = golden->name + ".logits";
    ASSIGN_OR_RETURN(const std::vector<float> expected,
                     fixture.Floats(name, static_cast<int64_t>(count)));
    report.Add(absl::StrCat("cpu mixed adapters", suffix), name,
               DeviationInTolerances(absl::MakeConstSpan(logits).subspan(begin, count), expected,
                                     fixture.tolerance()));
    begin += count;
  }
  return absl::OkStatus();
}

}  // namespace oneai::models::golden

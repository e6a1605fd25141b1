#include "model_platform/evaluate/evaluate_run.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "model_platform/data/prepare.h"
#include "model_platform/evaluate/perplexity.h"
#include "model_platform/train/metrics_log.h"
#include "models/tokenizer/tokenizer.h"
#include "models/weights/model_files.h"

namespace oneai::platform {
namespace {

using registry::v1::ModelVersion;

// Which documents count, and how files are cut into them.
struct Split {
  DocumentRules documents;
  double ratio = 0;
  bool wants_held_out = false, wants_rest = false;

  bool Contains(absl::string_view document) const {
    return IsHeldOut(document, ratio) ? wants_held_out : wants_rest;
  }
};

absl::StatusOr<Split> MakeSplit(const EvaluateSettings& settings, const ModelVersion& model) {
  Split split;
  split.documents = settings.documents;
  split.wants_held_out = settings.split != "train";
  split.wants_rest = settings.split != "validation";
  const bool needs_ratio = settings.split != "all" && settings.split_dataset_ratio < 0;
  const bool needs_rules = settings.split != "all" && !settings.has_document_rules;
  split.ratio = std::max(0.0, settings.split_dataset_ratio);
  if (!needs_ratio && !needs_rules) return split;
  const absl::StatusOr<PretrainSettings> training =
      ParsePretrainSettings(model.lineage().config_json(), "the model's lineage");
  if (!training.ok()) {
    if (!needs_ratio) return split;  // stated ratio, default rules
    return absl::FailedPreconditionError(absl::StrCat(
        "what ", model.name(), "@", model.version(), " held out is not in its lineage (",
        training.status().message(), "); set split_dataset_ratio"));
  }
  if (needs_ratio) split.ratio = training->split_dataset_ratio;
  if (needs_rules) split.documents = training->documents;
  return split;
}

absl::StatusOr<PerplexityTotals> Score(const EvaluateSettings& settings,
                                       const ModelVersion& version, const OpenedDataset& dataset,
                                       const RunContext& context) {
  ASSIGN_OR_RETURN(const Split split, MakeSplit(settings, version));
  ASSIGN_OR_RETURN(const auto tokenizer, models::LoadTokenizerOf(version.path()));
  const auto prefix = tokenizer->FindToken(kEndOfDocument);
  if (!prefix.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the model's tokenizer has no ", kEndOfDocument, " to begin documents with"));
  }
  models::CpuModelOptions options;
  options.num_threads = context.task.num_threads;
  if (settings.weights == "int8") options.weights = kernels::WeightFormat::kInt8;
  if (settings.weights == "int4") options.weights = kernels::WeightFormat::kInt4;
  ASSIGN_OR_RETURN(const auto model, models::CpuModel::Load(version.path(), options));
  const int64_t max_length = std::min(settings.max_length > 0 ? settings.max_length : INT64_MAX,
                                      model->config().max_positions);
  ASSIGN_OR_RETURN(PerplexityScorer scorer,
                   PerplexityScorer::Create(model.get(), max_length, *prefix));
  int64_t num_documents = 0;
  RETURN_IF_ERROR(ForEachDocument(
      context.datasets, dataset, split.documents, [&](absl::string_view document) -> absl::Status {
        if (!split.Contains(document)) return absl::OkStatus();
        if (settings.max_documents > 0 && num_documents == settings.max_documents) {
          return absl::OkStatus();  // the rest is still read, so that its checksum is verified
        }
        ++num_documents;
        return scorer.Add(tokenizer->Encode(document, models::SpecialTokens::kAsText),
                          static_cast<int64_t>(document.size()));
      }));
  if (num_documents == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the ", settings.split, " split of ", dataset.ref(), " has no documents"));
  }
  return scorer.Finish();
}

absl::Status Attach(const EvaluateSettings& settings, const ModelVersion& version,
                    const OpenedDataset& dataset, const std::map<std::string, double>& metrics,
                    const RunContext& context) {
  registry::v1::AttachEvaluationRequest request;
  request.set_ref(absl::StrCat(version.name(), "@", version.version()));
  registry::v1::Evaluation& evaluation = *request.mutable_evaluation();
  evaluation.set_job_id(context.task.job_id);
  evaluation.set_task(settings.task);
  evaluation.mutable_dataset()->set_name(dataset.name);
  evaluation.mutable_dataset()->set_version(dataset.version);
  evaluation.mutable_dataset()->set_sha256(dataset.sha256);
  evaluation.mutable_metrics()->insert(metrics.begin(), metrics.end());
  return context.models.AttachEvaluation(request).status();
}

}  // namespace

absl::Status RunEvaluate(const EvaluateSettings& settings, const RunContext& context) {
  if (context.task.rank != 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto log, MetricsLog::Open(context.task.metrics_file));
  ASSIGN_OR_RETURN(const ModelVersion version, context.models.Get(settings.model));
  ASSIGN_OR_RETURN(const OpenedDataset dataset,
                   context.datasets.Open(settings.dataset, settings.purpose));
  const std::string ref = absl::StrCat(version.name(), "@", version.version());
  absl::PrintF("evaluating %s on the %s split of %s\n", ref, settings.split, dataset.ref());
  std::fflush(stdout);
  ASSIGN_OR_RETURN(const PerplexityTotals totals, Score(settings, version, dataset, context));
  const std::map<std::string, double> metrics = PerplexityMetrics(totals);
  std::vector<Metric> series;
  for (const auto& [name, value] : metrics) series.push_back({name, value});
  log->Step(0, absl::Now(), series);
  const std::string message = absl::StrFormat(
      "%s: perplexity %.3f, %.4f bits per byte, byte perplexity %.4f, over %d tokens, %d bytes, %d "
      "documents",
      ref, metrics.at("perplexity"), metrics.at("bits_per_byte"), metrics.at("byte_perplexity"),
      totals.num_tokens, totals.num_bytes, totals.num_documents);
  absl::PrintF("%s\n", message);
  std::fflush(stdout);
  RETURN_IF_ERROR(Attach(settings, version, dataset, metrics, context));
  log->Event("evaluation.attached", 0, message, {{"model", ref}});
  return absl::OkStatus();
}

}  // namespace oneai::platform

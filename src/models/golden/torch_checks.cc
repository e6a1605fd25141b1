#include "models/golden/torch_checks.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/lora/torch_lora.h"
#include "models/runtime/torch_model.h"

namespace oneai::models::golden {
namespace {

constexpr double kLossTolerance = 1e-5;  // relative
constexpr double kGradientFactor = 5;    // times the fixture's tolerance
constexpr double kParameterTolerance =
    2e-5;  // absolute, for all but a thousandth of the components
constexpr double kParameterTolerance999 = 2e-3;  // for the rest: Adam amplifies gradients near zero

absl::Span<const float> Values(const torch::Tensor& contiguous) {
  return absl::MakeConstSpan(contiguous.data_ptr<float>(), static_cast<size_t>(contiguous.numel()));
}

// The rows of a padded batch as documents, with the targets of next-token prediction where there
// are labels.
struct TrainInputs {
  TorchBatch batch;
  torch::Tensor targets;
};

struct PaddedRows {
  int64_t num_rows = 0, row_length = 0;
  std::vector<int64_t> input_ids, attention_mask;
};

absl::StatusOr<PaddedRows> ReadPaddedRows(const Fixture& fixture) {
  PaddedRows rows;
  ASSIGN_OR_RETURN(const std::vector<int64_t> shape, fixture.Shape("train.input_ids"));
  if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1) {
    return absl::InvalidArgumentError("train.input_ids must be [rows, tokens]");
  }
  rows.num_rows = shape[0], rows.row_length = shape[1];
  ASSIGN_OR_RETURN(rows.input_ids, fixture.Ints("train.input_ids"));
  rows.attention_mask.assign(rows.input_ids.size(), 1);
  if (fixture.Has("train.attention_mask")) {
    ASSIGN_OR_RETURN(rows.attention_mask, fixture.Ints("train.attention_mask"));
  }
  if (rows.attention_mask.size() != rows.input_ids.size()) {
    return absl::InvalidArgumentError(
        "train.attention_mask is not of the shape of train.input_ids");
  }
  return rows;
}

absl::Status CheckIds(absl::Span<const int64_t> ids, int64_t vocab_size) {
  for (const int64_t id : ids) {
    if (id < 0 || id >= vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("token id ", id, " is outside the vocabulary"));
    }
  }
  return absl::OkStatus();
}

// `labels` is empty, or one per input id; a label is predicted from the token before it.
absl::StatusOr<TrainInputs> Pack(const PaddedRows& rows, const std::vector<int64_t>& labels,
                                 int64_t vocab_size) {
  std::vector<int64_t> tokens, targets, cu_seqlens{0};
  for (int64_t r = 0; r < rows.num_rows; ++r) {
    const auto mask = rows.attention_mask.begin() + r * rows.row_length;
    const int64_t begin = std::find(mask, mask + rows.row_length, 1) - mask;
    const int64_t end = std::find(mask + begin, mask + rows.row_length, 0) - mask;
    if (begin == end ||
        std::find(mask + end, mask + rows.row_length, 1) != mask + rows.row_length) {
      return absl::InvalidArgumentError(absl::StrCat(
          "train.attention_mask: row ", r, " is not one run of tokens with padding around it"));
    }
    for (int64_t t = 0; t < rows.row_length; ++t) {
      const int64_t at = r * rows.row_length + t;
      const int64_t label = labels.empty() ? kIgnoredTarget : labels[at];
      if (label != kIgnoredTarget && (label < 0 || label >= vocab_size)) {
        return absl::InvalidArgumentError(
            absl::StrCat("train.labels: ", label, " is outside the vocabulary"));
      }
      if (t < begin || t >= end) {
        if (label == kIgnoredTarget) continue;
        return absl::InvalidArgumentError(
            absl::StrCat("train.labels: row ", r, " has a label on padding"));
      }
      tokens.push_back(rows.input_ids[at]);
      targets.push_back(kIgnoredTarget);
      if (t > begin) targets[targets.size() - 2] = label;
    }
    cu_seqlens.push_back(static_cast<int64_t>(tokens.size()));
  }
  RETURN_IF_ERROR(CheckIds(tokens, vocab_size));
  return TrainInputs{MakeTorchBatch(torch::tensor(tokens, torch::kInt64), std::move(cu_seqlens)),
                     torch::tensor(targets, torch::kInt64)};
}

// The loss that a fixture's training golden is about.
class TrainingLoss {
 public:
  static absl::StatusOr<TrainingLoss> Create(const Fixture& fixture, const ModelConfig& config) {
    ASSIGN_OR_RETURN(const PaddedRows rows, ReadPaddedRows(fixture));
    std::vector<int64_t> labels;
    if (config.head == ModelHead::kCausalLm) {
      ASSIGN_OR_RETURN(labels, fixture.Ints("train.labels"));
      if (labels.size() != rows.input_ids.size()) {
        return absl::InvalidArgumentError("train.labels is not of the shape of train.input_ids");
      }
    } else if (rows.num_rows % 2 != 0) {
      return absl::InvalidArgumentError("a pairwise loss needs an even number of rows");
    }
    ASSIGN_OR_RETURN(TrainInputs inputs, Pack(rows, labels, config.vocab_size));
    return TrainingLoss(std::move(inputs));
  }

  // Mean cross-entropy (and, on request, the load-balancing loss beside it); for a sequence
  // classifier the pairwise reward loss of rows 2i (chosen) and 2i + 1 (rejected) on the first
  // score of their last tokens.
  torch::Tensor operator()(const TorchWeights& weights, torch::Tensor* aux_loss = nullptr) const {
    if (weights.config.head == ModelHead::kCausalLm) {
      const LossSum loss = Loss(weights, inputs_.batch, inputs_.targets, torch::kFloat32);
      if (aux_loss != nullptr) *aux_loss = loss.load_balancing;
      return loss.sum / static_cast<double>(loss.num_tokens);
    }
    const std::vector<int64_t>& bounds = inputs_.batch.cu_seqlens;
    const torch::Tensor last =
        torch::tensor(std::vector<int64_t>(bounds.begin() + 1, bounds.end()), torch::kInt64) - 1;
    const torch::Tensor hidden =
        Hidden(weights, inputs_.batch, torch::kFloat32).index_select(0, last);
    const torch::Tensor score =
        torch::linear(hidden, weights.model.head.weight).select(1, 0).view({-1, 2});
    return -torch::log_sigmoid(score.select(1, 0) - score.select(1, 1)).mean();
  }

 private:
  explicit TrainingLoss(TrainInputs inputs) : inputs_(std::move(inputs)) {}
  TrainInputs inputs_;
};

// The model that is trained: all of it, or an adapter over a frozen base.
class TrainedModel {
 public:
  static absl::StatusOr<TrainedModel> Load(const ModelConfig& config, const TorchSubject& subject) {
    TrainedModel model;
    ASSIGN_OR_RETURN(model.base_, LoadTorchWeights(config, subject.base));
    if (subject.adapter == nullptr) return model;
    Freeze(model.base_);
    ASSIGN_OR_RETURN(model.lora_, LoadTorchLora(*subject.adapter));
    return model;
  }

  const ModelConfig& config() const { return base_.config; }
  const std::vector<NamedParameter>& parameters() const {
    return lora_ ? lora_->parameters : base_.parameters;
  }
  // The weights of a forward pass, as functions of the parameters.
  absl::StatusOr<TorchWeights> Weights() const {
    if (!lora_) return base_;
    return ApplyLora(base_, *lora_);
  }

 private:
  TorchWeights base_;
  std::optional<TorchLora> lora_;
};

class TorchChecks {
 public:
  TorchChecks(const Fixture& fixture, TrainedModel model, absl::string_view adapter,
              absl::string_view suffix, Report& report)
      : fixture_(fixture),
        model_(std::move(model)),
        adapter_(adapter),
        suffix_(suffix),
        report_(report) {}

  absl::Status CheckLogits();
  absl::Status CheckTraining(const GoldenTraining& golden);

 private:
  void Add(absl::string_view check, absl::string_view tensor, double deviation) {
    report_.Add(absl::StrCat("torch ", check, suffix_), tensor, deviation);
  }
  absl::Status CheckGradients(const GoldenTraining& golden);
  absl::Status CheckSteps(const AdamWSettings& golden, const TrainingLoss& loss);
  absl::Status CheckParameters(const AdamWSettings& golden);

  const Fixture& fixture_;
  const TrainedModel model_;
  const std::string adapter_, suffix_;
  Report& report_;
};

absl::Status TorchChecks::CheckLogits() {
  std::vector<int64_t> tokens, cu_seqlens{0};
  std::vector<const GoldenCase*> packed;
  for (const GoldenCase& golden : fixture_.cases()) {
    if (golden.kind != CaseKind::kText || golden.adapter != adapter_) continue;
    packed.push_back(&golden);
    tokens.insert(tokens.end(), golden.input_ids.begin(), golden.input_ids.end());
    cu_seqlens.push_back(static_cast<int64_t>(tokens.size()));
  }
  if (packed.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckIds(tokens, model_.config().vocab_size));
  const torch::NoGradGuard no_grad;
  ASSIGN_OR_RETURN(const TorchWeights weights, model_.Weights());
  TorchBatch batch = MakeTorchBatch(torch::tensor(tokens, torch::kInt64), cu_seqlens);
  batch.use = TorchUse::kInference;
  const torch::Tensor logits = Logits(weights, batch, torch::kFloat32).contiguous();
  for (size_t i = 0; i < packed.size(); ++i) {
    const std::string name = packed[i]->name + ".logits";
    const torch::Tensor rows = logits.slice(0, cu_seqlens[i], cu_seqlens[i + 1]);
    ASSIGN_OR_RETURN(const std::vector<float> golden, fixture_.Floats(name, rows.numel()));
    Add("logits", name, DeviationInTolerances(Values(rows), golden, fixture_.tolerance()));
  }
  return absl::OkStatus();
}

absl::Status TorchChecks::CheckTraining(const GoldenTraining& golden) {
  ASSIGN_OR_RETURN(const TrainingLoss loss, TrainingLoss::Create(fixture_, model_.config()));
  ASSIGN_OR_RETURN(const TorchWeights weights, model_.Weights());
  torch::Tensor aux_loss;
  const torch::Tensor value = loss(weights, &aux_loss);
  Add("loss", "train.loss", RelativeDeviation(value.item<double>(), golden.loss, kLossTolerance));
  if (golden.aux_loss) {
    if (!aux_loss.defined()) return absl::InvalidArgumentError("golden.json: no layer has experts");
    Add("aux loss", "train.aux_loss",
        RelativeDeviation(aux_loss.item<double>(), *golden.aux_loss, kLossTolerance));
  }
  value.backward();
  RETURN_IF_ERROR(CheckGradients(golden));
  return golden.optimizer ? CheckSteps(*golden.optimizer, loss) : absl::OkStatus();
}

absl::Status TorchChecks::CheckGradients(const GoldenTraining& golden) {
  const double tolerance = kGradientFactor * fixture_.tolerance();
  const std::vector<NamedParameter>& parameters = model_.parameters();
  double sum_squares = 0;
  for (const NamedParameter& p : parameters) {
    if (!p.tensor.grad().defined()) continue;  // an expert that no token visited
    sum_squares += p.tensor.grad().to(torch::kFloat64).square().sum().item<double>();
  }
  if (golden.grad_norm) {
    Add("gradient norm", "grad_norm",
        RelativeDeviation(std::sqrt(sum_squares), *golden.grad_norm, tolerance));
  }
  std::vector<std::string> wanted = golden.gradients;
  if (wanted.empty() && !golden.adapter.empty()) {
    for (const NamedParameter& p : parameters) wanted.push_back(p.name);
  }
  for (const std::string& name : wanted) {
    const auto p = std::ranges::find(parameters, name, &NamedParameter::name);
    if (p == parameters.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("golden.json: the model has no parameter '", name, "'"));
    }
    const std::string tensor = "train.grad." + name;
    const torch::Tensor grad =
        p->tensor.grad().defined() ? p->tensor.grad().contiguous() : torch::zeros_like(p->tensor);
    ASSIGN_OR_RETURN(const std::vector<float> expected, fixture_.Floats(tensor, grad.numel()));
    Add("gradients", tensor, DeviationInTolerances(Values(grad), expected, tolerance));
  }
  return absl::OkStatus();
}

absl::Status TorchChecks::CheckSteps(const AdamWSettings& golden, const TrainingLoss& loss) {
  std::vector<torch::Tensor> parameters;
  for (const NamedParameter& p : model_.parameters()) parameters.push_back(p.tensor);
  torch::optim::AdamW optimizer(parameters, torch::optim::AdamWOptions(golden.learning_rate)
                                                .betas({golden.beta1, golden.beta2})
                                                .eps(golden.epsilon)
                                                .weight_decay(golden.weight_decay));
  for (int64_t step = 0; step <= golden.num_steps; ++step) {
    optimizer.zero_grad();
    ASSIGN_OR_RETURN(const TorchWeights weights, model_.Weights());
    const torch::Tensor value = loss(weights);
    Add("step losses", absl::StrCat("losses[", step, "]"),
        RelativeDeviation(value.item<double>(), golden.losses[step], kLossTolerance));
    if (step == golden.num_steps) break;
    value.backward();
    optimizer.step();
  }
  return CheckParameters(golden);
}

absl::Status TorchChecks::CheckParameters(const AdamWSettings& golden) {
  std::vector<double> differences;
  for (const NamedParameter& p : model_.parameters()) {
    const std::string name = absl::StrCat("train.after", golden.num_steps, ".", p.name);
    if (!fixture_.Has(name)) continue;
    const torch::Tensor ours = p.tensor.detach().contiguous();
    ASSIGN_OR_RETURN(const std::vector<float> expected, fixture_.Floats(name, ours.numel()));
    for (size_t i = 0; i < expected.size(); ++i) {
      const double difference = std::abs(static_cast<double>(Values(ours)[i]) - expected[i]);
      differences.push_back(std::isnan(difference) ? std::numeric_limits<double>::infinity()
                                                   : difference);
    }
  }
  if (differences.empty()) {
    return absl::NotFoundError(
        absl::StrCat("golden.safetensors holds no train.after", golden.num_steps, ".*"));
  }
  std::ranges::sort(differences, std::greater<>());
  const size_t exempt = differences.size() / 1000;
  const std::string tensors = absl::StrCat("train.after", golden.num_steps, ".*");
  Add("parameters 99.9 %", tensors, differences[exempt] / kParameterTolerance);
  Add("parameters", tensors, differences[0] / kParameterTolerance999);
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckWithTorch(const Fixture& fixture, const ModelConfig& config,
                            const TorchSubject& subject, absl::string_view suffix, Report& report) {
  try {
    ASSIGN_OR_RETURN(TrainedModel model, TrainedModel::Load(config, subject));
    TorchChecks checks(fixture, std::move(model), subject.adapter_name, suffix, report);
    RETURN_IF_ERROR(checks.CheckLogits());
    const std::optional<GoldenTraining>& training = fixture.training();
    if (!training || training->adapter != subject.adapter_name) return absl::OkStatus();
    return checks.CheckTraining(*training);
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat("LibTorch: ", e.what()));
  }
}

}  // namespace oneai::models::golden

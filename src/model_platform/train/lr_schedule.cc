#include "model_platform/train/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace oneai::platform {
namespace {

// From 1 at x = 0 to 0 at x = 1.
double Decay(LrDecay decay, double x) {
  switch (decay) {
    case LrDecay::kLinear:
      return 1.0 - x;
    case LrDecay::kCosine:
      return 0.5 * (1.0 + std::cos(std::numbers::pi * x));
    case LrDecay::kMinusSqrt:
      return 1.0 - std::sqrt(x);
  }
  return 0.0;
}

}  // namespace

double LearningRate(const PretrainSettings& s, int64_t steps_done) {
  const double step = static_cast<double>(steps_done), total = static_cast<double>(s.max_steps);
  const double warmup = static_cast<double>(s.warmup_steps);
  if (steps_done < s.warmup_steps) return s.learning_rate * (step + 1) / warmup;
  double decay_begin = warmup;
  LrDecay decay = LrDecay::kCosine;
  if (s.lr_scheduler_type == LrScheduler::kWsd) {
    const int64_t wanted = s.num_decay_steps > 0 ? s.num_decay_steps : s.max_steps / 5;
    decay_begin = total - static_cast<double>(std::min(wanted, s.max_steps - s.warmup_steps));
    decay = s.decay_type;
  }
  if (step < decay_begin || total <= decay_begin) return s.learning_rate;
  const double x = std::min(1.0, (step - decay_begin) / (total - decay_begin));
  return s.learning_rate * (s.min_lr_ratio + (1.0 - s.min_lr_ratio) * Decay(decay, x));
}

}  // namespace oneai::platform

// File: model_platform/train/lr_schedule.h
//
// The learning rate as a function of the step.
#pragma once

#include <cstdint>

#include "model_platform/settings/settings.h"

namespace oneai::platform {

// Learning rate of the optimizer step that follows `steps_done` finished ones, s. With W warm-up
// steps, T steps in all and r = min_lr_ratio:
//   warm-up, s < W    peak (s + 1) / W: the first step already learns (torchtitan, llm.c; in
//   Hugging
//                     Face and Megatron it has rate 0)
//   cosine            peak (r + (1 - r) (1 + cos(pi (s - W) / (T - W))) / 2), as HF
//                     get_cosine_with_min_lr_schedule_with_warmup
//   wsd               peak until the last D steps, then peak (r + (1 - r) c(x)), x = (s - (T - D))
//   / D,
//                     c linear 1 - x, cosine (1 + cos(pi x)) / 2, or 1-sqrt 1 - sqrt(x), as HF
//                     get_wsd_schedule and arXiv:2405.18392
double LearningRate(const PretrainSettings& settings, int64_t steps_done);

}  // namespace oneai::platform

// File: model_platform/train/trainer_tensors.h
//
// The tensors of a Trainer. Private to trainer.cc and trainer_checkpoint.cc.
#pragma once

#include <utility>

#include "model_platform/train/flat_adamw.h"
#include "model_platform/train/trainer.h"
#include "models/runtime/torch_model.h"

namespace oneai::platform {

struct Trainer::Tensors {
  Tensors(models::TorchWeights model, const AdamWOptions& options)
      : weights(std::move(model)), adamw(weights, options) {}

  models::TorchWeights weights;
  FlatAdamW adamw;
};

}  // namespace oneai::platform

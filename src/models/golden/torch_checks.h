// File: models/golden/torch_checks.h
//
// Holds the training model, in float32, against a fixture: logits, loss, gradients, optimizer
// steps.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "models/golden/fixture.h"
#include "models/golden/report.h"
#include "models/lora/lora_adapter.h"

namespace oneai::models::golden {

// What a fixture is run with: the base model, or an adapter over it.
struct TorchSubject {
  const Checkpoint& base;
  std::string adapter_name;              // "": the base model
  const LoraAdapter* adapter = nullptr;  // nullptr: the base model
};

// Adds to `report`, each check named with `suffix`: logits of the subject's text prompts packed
// into one batch of documents, and, when the fixture has a training golden of the subject, its
// loss, gradients, gradient norm, and the losses and parameters of its AdamW steps (of an adapter
// with the base frozen). Errors as CheckOnCpu; exceptions of LibTorch come back as Internal.
absl::Status CheckWithTorch(const Fixture& fixture, const ModelConfig& config,
                            const TorchSubject& subject, absl::string_view suffix, Report& report);

}  // namespace oneai::models::golden

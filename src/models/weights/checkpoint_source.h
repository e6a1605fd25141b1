// File: models/weights/checkpoint_source.h
//
// An open checkpoint of plain tensors as a WeightSource: for one that is changed in memory before
// it is bound (a merged adapter), which no file holds.
#pragma once

#include <memory>

#include "models/safetensors/checkpoint.h"
#include "models/weights/weight_source.h"

namespace oneai::models {

// Every tensor of `checkpoint` as it is stored; keeps it mapped.
std::shared_ptr<const WeightSource> SourceOf(Checkpoint checkpoint);

}  // namespace oneai::models

// File: model_platform/train/run_context.h
//
// What a job of this package is given, besides its settings.
#pragma once

#include <atomic>
#include <string>

#include "model_platform/data/dataset_source.h"
#include "model_platform/registry/registry_client.h"
#include "model_platform/train/task_environment.h"

namespace oneai::platform {

// References are borrowed for the length of the run.
struct RunContext {
  const TaskEnvironment& task;
  DatasetSource& datasets;
  RegistryClient& models;
  std::string code_revision;                // goes into lineage and model card
  const std::atomic<bool>& stop_requested;  // SIGTERM has arrived
};

}  // namespace oneai::platform

// File: compute_fabric/node/task_key.h
//
// The name of one attempt of one task, and of its folder.
#pragma once

#include <compare>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace oneai::fabric {

struct TaskKey {
  std::string job_id;
  int rank = 0;
  int attempt = 0;

  auto operator<=>(const TaskKey&) const = default;

  // "<job>.<rank>.<attempt>"
  std::string FolderName() const;
  // nullopt: not a folder name of a task.
  static std::optional<TaskKey> FromFolderName(absl::string_view name);
  // Job ids come from the network and become paths: [A-Za-z0-9_-], 1 to 64 characters; numbers not
  // negative.
  bool IsValid() const;
};

}  // namespace oneai::fabric

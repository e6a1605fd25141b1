// File: compute_fabric/node/task_key.cc
#include "compute_fabric/node/task_key.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace oneai::fabric {

std::string TaskKey::FolderName() const { return absl::StrCat(job_id, ".", rank, ".", attempt); }

std::optional<TaskKey> TaskKey::FromFolderName(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '.');
  TaskKey key;
  if (parts.size() != 3 || !absl::SimpleAtoi(parts[1], &key.rank) ||
      !absl::SimpleAtoi(parts[2], &key.attempt)) {
    return std::nullopt;
  }
  key.job_id = std::string(parts[0]);
  if (!key.IsValid()) return std::nullopt;
  return key;
}

bool TaskKey::IsValid() const {
  return !job_id.empty() && job_id.size() <= 64 && rank >= 0 && attempt >= 0 &&
         std::all_of(job_id.begin(), job_id.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
}

}  // namespace oneai::fabric

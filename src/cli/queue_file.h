// File: cli/queue_file.h
//
// A queue tree as people write it (YAML, docs/queues.md) to the request that sets it. Strict: an
// unknown key is an error with its line. Whether the tree adds up is for the controller to say,
// which knows what is there already.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "oneai/fabric/v1/queue.pb.h"

namespace oneai::cli {

inline constexpr int kQueuesInFileMax = 10'000;

// `source` names the file in errors. InvalidArgument: names line, key and what would be valid.
absl::StatusOr<fabric::v1::SetQueuesRequest> ParseQueueFile(absl::string_view text,
                                                            const std::string& source);

}  // namespace oneai::cli

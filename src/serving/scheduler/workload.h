// File: serving/scheduler/workload.h
//
// Recorded requests to real services: when they came, how long they were, and which of them began
// alike. No text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace oneai::serving {

// Prompt tokens that one of RecordedRequest::block_ids stands for (Mooncake's traces).
inline constexpr int64_t kRecordedBlockTokens = 512;

struct RecordedRequest {
  double arrival_s = 0;  // ascending
  int64_t num_prompt = 0;
  int64_t num_output = 0;
  // Of the prompt's blocks, in order; prompts whose first ids are equal begin alike. Empty:
  // unknown, taken as unlike all others.
  std::vector<uint64_t> block_ids;
  std::string tenant;
  int32_t priority = 0;
};

// Reads at most `num_max` requests of Azure's CSV (TIMESTAMP,ContextTokens,GeneratedTokens) or
// Mooncake's JSON lines (.jsonl). kNotFound, kPermissionDenied: the file. kInvalidArgument, naming
// the line: not such a file, or no requests.
absl::StatusOr<std::vector<RecordedRequest>> ReadWorkload(const std::filesystem::path& file,
                                                          int64_t num_max);

// A prompt of the recorded length and sharing, of pseudo-random tokens below `vocab_size`; all
// lengths times `length_scale`. Never empty.
std::vector<int32_t> PromptOf(const RecordedRequest& request, int64_t vocab_size,
                              double length_scale);

}  // namespace oneai::serving

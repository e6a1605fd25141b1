// File: compute_fabric/controller/log_follower.h
//
// Reading a task's log to its end, over restarts.
#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/joblog/log_store.h"
#include "oneai/fabric/v1/job.pb.h"

namespace oneai::fabric {

// Sends the log from `request.offset` on in chunks until `send` returns false or `cancelled` says
// so (asked a few times a second). Without follow: what there is. With follow: until the task has
// ended and its output is complete; with attempt 0 also the attempts that follow, each from its
// beginning, until the job has finished. NotFound: no such job or rank; InvalidArgument.
absl::Status FollowLog(const FabricState& state, const LogStore& logs,
                       const v1::ReadLogRequest& request,
                       absl::FunctionRef<bool(const v1::LogChunk&)> send,
                       absl::FunctionRef<bool()> cancelled);

}  // namespace oneai::fabric

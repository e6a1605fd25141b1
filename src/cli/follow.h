// File: cli/follow.h
//
// Watching a job from a terminal: output, progress bar, end.
#pragma once

#include <string>

#include "cli/session.h"
#include "oneai/fabric/v1/job.pb.h"

namespace oneai::cli {

// Prints a task's captured output to stdout; with `follow` until the task's job has ended.
int PrintLog(const Session& session, const std::string& job_id, int rank, int attempt, bool follow);

// Shows rank 0's output and every change of state until the job ends. On a terminal a bar shows
// step, loss and speed; Ctrl-C detaches and says so. Survives a restart of the controller. Returns
// the exit status of `job wait`.
int FollowJob(const Session& session, const std::string& job_id);

// Waits for the end; `timeout_seconds` 0: without limit.
int WaitForJob(const Session& session, const std::string& job_id, int timeout_seconds);

// Exit status for a job's state.
int ExitCodeOfJob(const fabric::v1::Job& job);

bool HasEnded(const fabric::v1::Job& job);

}  // namespace oneai::cli

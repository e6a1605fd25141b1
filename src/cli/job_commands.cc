// oneai job ...
#include <google/protobuf/util/time_util.h>
#include <unistd.h>

#include <iostream>
#include <iterator>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/files/files.h"
#include "base/ids.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/job_file.h"
#include "cli/output.h"
#include "oneai/fabric/v1/job.grpc.pb.h"

namespace oneai::cli {
namespace {

using fabric::v1::Job;
using fabric::v1::JobService;

struct SubmitFlags {
  std::string file;
  std::string request_id;
  bool follow = false;
  bool wait = false;
  bool quiet = false;
  int timeout_seconds = 0;
};

absl::StatusOr<fabric::v1::JobSpec> ReadSpec(const std::string& file) {
  if (file == "-") {
    const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    return ParseJobFile(text, "standard input");
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file, 1 << 20));
  return ParseJobFile(text, file);
}

int NumRunning(const Job& job) {
  int running = 0;
  for (const fabric::v1::Task& task : job.tasks())
    running += task.state() == fabric::v1::TASK_RUNNING;
  return running;
}

int NumTasks(const Job& job) {
  return job.num_tasks_now() > 0 ? job.num_tasks_now() : job.spec().num_tasks();
}

// An array in one row: "12 RUNNING, 88 PENDING".
void AddArrayRow(Table& table, const std::vector<const Job*>& jobs, absl::Time now) {
  std::map<fabric::v1::JobState, int> states;
  int running = 0;
  int tasks = 0;
  for (const Job* job : jobs) {
    ++states[job->state()];
    running += NumRunning(*job);
    tasks += NumTasks(*job);
  }
  const std::string counts = absl::StrJoin(states, ", ", [](std::string* out, const auto& state) {
    absl::StrAppend(out, state.second, " ", JobState_Name(state.first));
  });
  const Job& first = *jobs.front();
  table.Add({first.array_id(), absl::StrCat(first.spec().name(), " [", jobs.size(), "]"),
             first.spec().kind(), first.spec().project(), counts, absl::StrCat(running, "/", tasks),
             "-", Age(first.submitted(), now)});
}

void AddJobRow(Table& table, const Job& job, absl::Time now) {
  table.Add({job.id(),
             job.array_id().empty() ? job.spec().name()
                                    : absl::StrCat(job.spec().name(), " [", job.array_index(), "]"),
             job.spec().kind(), job.spec().project(), JobState_Name(job.state()),
             absl::StrCat(NumRunning(job), "/", NumTasks(job)), absl::StrCat(job.attempt()),
             Age(job.submitted(), now)});
}

// Newest first; the jobs of an array in one row, unless it was asked for by id.
void PrintJobs(const std::vector<Job>& jobs, bool whole_arrays, absl::Time now) {
  Table table({"ID", "NAME", "KIND", "PROJECT", "STATE", "TASKS", "ATTEMPT", "AGE"});
  std::map<std::string, std::vector<const Job*>> arrays;
  for (const Job& job : jobs) {
    if (!whole_arrays && !job.array_id().empty()) arrays[job.array_id()].push_back(&job);
  }
  for (const Job& job : jobs) {
    const auto array = arrays.find(job.array_id());
    if (array == arrays.end()) {
      AddJobRow(table, job, now);
    } else if (!array->second.empty()) {
      AddArrayRow(table, array->second, now);
      array->second.clear();
    }
  }
  std::cout << table.ToString();
}

std::string LocalTime(const google::protobuf::Timestamp& time) {
  return absl::FormatTime(
      "%Y-%m-%d %H:%M:%S",
      absl::FromUnixMillis(google::protobuf::util::TimeUtil::TimestampToMilliseconds(time)),
      absl::LocalTimeZone());
}

// Why it waits, or why it would.
template <typename Message>
void PrintOutlook(const Message& why) {
  if (!why.smallest_change().empty())
    std::cout << "change:      " << Printable(why.smallest_change()) << "\n";
  if (why.has_planned_start())
    std::cout << "starts:      " << LocalTime(why.planned_start())
              << " by the time limits of what runs\n";
}

void PrintWishes(const Job& job) {
  const fabric::v1::JobSpec& spec = job.spec();
  if (!spec.queue().empty()) std::cout << "queue:       " << Printable(spec.queue()) << "\n";
  if (spec.priority() != 0) std::cout << "priority:    " << spec.priority() << "\n";
  if (!job.array_id().empty())
    std::cout << "array:       " << job.array_id() << " [" << job.array_index() << "]\n";
  for (const auto& [name, value] : job.sweep_values())
    std::cout << "sweep:       " << Printable(name) << "=" << Printable(value) << "\n";
  if (spec.num_tasks_min() > 0) {
    std::cout << "elastic:     " << spec.num_tasks_min() << " to " << spec.num_tasks() << " tasks";
    if (job.num_tasks_wanted() > 0)
      std::cout << ", " << job.num_tasks_wanted() << " from its next checkpoint on";
    std::cout << "\n";
  }
  double cost = 0;
  for (const fabric::v1::JobUsage& usage : job.usage()) cost += usage.cost();
  if (cost > 0) std::cout << "cost:        " << absl::StrFormat("%.2f", cost) << "\n";
}

void PrintJob(const Job& job, absl::Time now) {
  std::cout << "id:          " << job.id() << "\nname:        " << Printable(job.spec().name())
            << "\nproject:     " << Printable(job.spec().project())
            << "\nkind:        " << job.spec().kind()
            << "\nowner:       " << Printable(job.owner().name())
            << "\nstate:       " << JobState_Name(job.state()) << "\nattempt:     " << job.attempt()
            << " (" << job.num_restarts() << " restarts, " << job.num_preemptions()
            << " preemptions)"
            << "\nage:         " << Age(job.submitted(), now) << "\n";
  if (!job.last_checkpoint().empty())
    std::cout << "checkpoint:  " << Printable(job.last_checkpoint()) << "\n";
  PrintWishes(job);
  for (const std::string& reason : job.reasons())
    std::cout << "reason:      " << Printable(reason) << "\n";
  if (job.state() == fabric::v1::PENDING) PrintOutlook(job);
  if (job.tasks_size() == 0) return;
  Table table({"RANK", "STATE", "NODE", "DEVICE", "READY", "EXIT", "MESSAGE"});
  for (const fabric::v1::Task& task : job.tasks()) {
    std::string exit = "-";
    if (task.state() == fabric::v1::TASK_EXITED) {
      exit = task.signal() != 0 ? absl::StrCat("signal ", task.signal())
                                : absl::StrCat(task.exit_code());
    }
    table.Add({absl::StrCat(task.rank()), TaskState_Name(task.state()), task.node(),
               task.device().kind().empty() ? "-" : task.device().kind(),
               task.ready() ? "yes" : "no", exit, task.message()});
  }
  std::cout << table.ToString();
}

// The array's id, then those of its jobs, one a line.
int ArraySubmitted(const CommandContext& context, const SubmitFlags& flags,
                   const fabric::v1::SubmitJobResponse& response) {
  if (context.json()) {
    std::cout << ToJson(response);
    return kExitOk;
  }
  std::cout << response.array_id() << "\n";
  for (const std::string& id : response.job_ids()) std::cout << id << "\n";
  if (!flags.quiet) {
    std::cerr << "next: oneai job list --array " << response.array_id()
              << "   |   oneai job cancel " << response.array_id() << "\n";
  }
  return kExitOk;
}

int Submit(const CommandContext& context, const SubmitFlags& flags) {
  const absl::StatusOr<fabric::v1::JobSpec> spec = ReadSpec(flags.file);
  if (!spec.ok()) return Fail(spec.status());
  if ((flags.follow || flags.wait) && (spec->has_array() || spec->has_sweep())) {
    return Fail(absl::InvalidArgumentError(
        "--follow and --wait are for one job; submit the array without them and look at it with "
        "`oneai job list --array ID`"));
  }
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  fabric::v1::SubmitJobRequest request;
  // Made once per command: the channel's retries of a lost answer find the same job.
  request.set_request_id(flags.request_id.empty() ? NewId("submit-") : flags.request_id);
  *request.mutable_spec() = *spec;
  const auto response = session->Call<JobService>(&JobService::Stub::SubmitJob, request);
  if (!response.ok()) return Fail(response.status());
  if (!response->array_id().empty()) return ArraySubmitted(context, flags, *response);
  const std::string& id = response->job().id();
  if (context.json()) {
    std::cout << ToJson(response->job());
  } else {
    std::cout << id << std::endl;
  }
  if (!flags.quiet && !flags.follow && !flags.wait) {
    std::cerr << "next: oneai job logs -f " << id << "   |   oneai job get " << id
              << "   |   oneai job cancel " << id << "\n";
  }
  if (flags.follow) return FollowJob(*session, id);
  if (flags.wait) return WaitForJob(*session, id, flags.timeout_seconds);
  return kExitOk;
}

int Plan(const CommandContext& context, const std::string& file) {
  const absl::StatusOr<fabric::v1::JobSpec> spec = ReadSpec(file);
  if (!spec.ok()) return Fail(spec.status());
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  fabric::v1::PlanJobRequest request;
  *request.mutable_spec() = *spec;
  const auto plan = session->Call<JobService>(&JobService::Stub::PlanJob, request);
  if (!plan.ok()) return Fail(plan.status());
  if (context.json()) {
    std::cout << ToJson(*plan);
  } else {
    std::cout << (plan->fits_now() ? "would start now:\n" : "would wait:\n");
    for (const std::string& line : plan->placements()) std::cout << "  " << Printable(line) << "\n";
    for (const std::string& line : plan->reasons()) std::cout << "  " << Printable(line) << "\n";
    for (const std::string& line : plan->preempts())
      std::cout << "  would preempt " << Printable(line) << "\n";
    PrintOutlook(*plan);
  }
  return plan->fits_now() ? kExitOk : kExitUnschedulable;
}

int Why(const CommandContext& context, const std::string& id) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  fabric::v1::GetJobRequest request;
  request.set_id(id);
  const auto why = session->Call<JobService>(&JobService::Stub::ExplainJob, request);
  if (!why.ok()) return Fail(why.status());
  if (context.json()) {
    std::cout << ToJson(*why);
    return kExitOk;
  }
  for (const std::string& reason : why->reasons())
    std::cout << "waits:       " << Printable(reason) << "\n";
  for (const std::string& job : why->would_preempt())
    std::cout << "preempts:    " << Printable(job) << "\n";
  PrintOutlook(*why);
  if (why->queue_position() > 0)
    std::cout << "position:    " << why->queue_position() << " in its queue\n";
  return kExitOk;
}

struct ListFlags {
  std::string project;
  std::string array;
  bool active = false;
  bool summary = false;  // of the array, before its jobs
  int limit = 0;
};

int List(const CommandContext& context, const ListFlags& flags) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  fabric::v1::ListJobsRequest request;
  request.set_project(flags.project);
  request.set_active_only(flags.active);
  request.set_array_id(flags.array);
  request.set_limit(flags.limit);
  const auto jobs = session->Call<JobService>(&JobService::Stub::ListJobs, request);
  if (!jobs.ok()) return Fail(jobs.status());
  if (flags.summary && jobs->jobs_size() == 0)
    return Fail(absl::NotFoundError(absl::StrCat(
        "no array ", flags.array, " with jobs; `oneai job list` shows what there is")));
  if (context.json()) {
    std::cout << ToJson(*jobs);
  } else {
    const std::vector<Job> found(jobs->jobs().begin(), jobs->jobs().end());
    if (flags.summary) PrintJobs(found, /*whole_arrays=*/false, absl::Now());
    PrintJobs(found, !flags.array.empty(), absl::Now());
    if (jobs->num_more() > 0)
      std::cerr << jobs->num_more() << " older jobs are not shown; --limit shows more\n";
  }
  return kExitOk;
}

// A call that answers with the job it changed.
template <typename Request>
int OneJob(const CommandContext& context, const Request& request,
           grpc::Status (JobService::Stub::*method)(grpc::ClientContext*, const Request&, Job*)) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto job = session->Call<JobService>(method, request);
  if (!job.ok()) return Fail(job.status());
  if (context.json()) {
    std::cout << ToJson(*job);
  } else {
    PrintJob(*job, absl::Now());
  }
  return kExitOk;
}

int Metrics(const CommandContext& context, const std::string& id,
            const std::vector<std::string>& names) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  fabric::v1::GetMetricsRequest request;
  request.set_job_id(id);
  for (const std::string& name : names) request.add_names(name);
  const auto series = session->Call<JobService>(&JobService::Stub::GetMetrics, request);
  if (!series.ok()) return Fail(series.status());
  if (context.json()) {
    std::cout << ToJson(*series);
    return kExitOk;
  }
  for (const fabric::v1::MetricSeries& one : series->series()) {
    for (const fabric::v1::MetricPoint& point : one.points()) {
      std::cout << Printable(one.name()) << "\t" << point.step() << "\t"
                << absl::StrFormat("%.9g", point.value()) << "\n";
    }
  }
  return kExitOk;
}

int Events(const CommandContext& context, const std::string& subject) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  fabric::v1::ListEventsRequest request;
  request.set_subject(subject);
  const auto events = session->Call<JobService>(&JobService::Stub::ListEvents, request);
  if (!events.ok()) return Fail(events.status());
  if (context.json()) {
    std::cout << ToJson(*events);
    return kExitOk;
  }
  Table table({"TIME", "SEVERITY", "KIND", "SUBJECT", "MESSAGE"});
  for (const fabric::v1::Event& event : events->events()) {
    table.Add({google::protobuf::util::TimeUtil::ToString(event.time()), event.severity(),
               event.kind(), event.subject(), event.message()});
  }
  std::cout << table.ToString();
  return kExitOk;
}

void AddSubmit(CLI::App& job, CommandContext& context) {
  auto flags = std::make_shared<SubmitFlags>();
  CLI::App* submit = AddCommand(job, context, "submit", "submit a job file",
                                [&context, flags] { return Submit(context, *flags); });
  submit->add_option("-f,--file", flags->file, "job file (YAML); - reads standard input")
      ->required();
  submit->add_option("--request-id", flags->request_id,
                     "idempotency key: the same key never makes a second job");
  submit->add_flag("--follow", flags->follow,
                   "show output and progress until the job ends; Ctrl-C detaches");
  submit->add_flag("--wait", flags->wait, "wait until the job ends");
  submit->add_option("--timeout", flags->timeout_seconds, "with --wait: seconds to wait at most");
  submit->add_flag("-q,--quiet", flags->quiet, "print only the id");
  auto plan_file = std::make_shared<std::string>();
  AddCommand(
      job, context, "plan",
      "where a job would run now, when it would start, whom it would preempt; submits nothing",
      [&context, plan_file] { return Plan(context, *plan_file); })
      ->add_option("-f,--file", *plan_file, "job file (YAML)")
      ->required();
}

void AddLogs(CLI::App& job, CommandContext& context) {
  struct Flags {
    std::string id;
    int rank = 0;
    int attempt = 0;
    bool follow = false;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* logs = AddCommand(job, context, "logs", "print a task's output", [&context, flags] {
    const absl::StatusOr<Session> session = context.Open();
    if (!session.ok()) return Fail(session.status());
    return PrintLog(*session, flags->id, flags->rank, flags->attempt, flags->follow);
  });
  logs->add_option("id", flags->id, "job id")->required();
  logs->add_option("--rank", flags->rank, "task (default 0)");
  logs->add_option("--attempt", flags->attempt, "attempt (default: the newest)");
  logs->add_flag("-f,--follow", flags->follow, "go on until the task ends");
}

void AddFollow(CLI::App& job, CommandContext& context) {
  auto id = std::make_shared<std::string>();
  AddCommand(job, context, "follow", "show output and progress until a job ends; Ctrl-C detaches",
             [&context, id] {
               const absl::StatusOr<Session> session = context.Open();
               if (!session.ok()) return Fail(session.status());
               return FollowJob(*session, *id);
             })
      ->add_option("id", *id, "job id")
      ->required();
}

void AddWait(CLI::App& job, CommandContext& context) {
  auto id = std::make_shared<std::string>();
  auto timeout = std::make_shared<int>(0);
  CLI::App* wait = AddCommand(job, context, "wait",
                              "wait for a job: exit 0 succeeded, 100 failed, 101 not finished, 102 "
                              "not found, 103 cancelled",
                              [&context, id, timeout] {
                                const absl::StatusOr<Session> session = context.Open();
                                if (!session.ok()) return Fail(session.status());
                                return WaitForJob(*session, *id, *timeout);
                              });
  wait->add_option("id", *id, "job id")->required();
  wait->add_option("--timeout", *timeout, "seconds to wait at most; 0 without limit");
}

}  // namespace

void AddJobCommands(CLI::App& app, CommandContext& context) {
  CLI::App& job = *app.add_subcommand("job", "submit, watch and cancel jobs");
  job.require_subcommand(1);
  AddSubmit(job, context);
  AddLogs(job, context);
  AddFollow(job, context);
  AddWait(job, context);

  auto listed = std::make_shared<ListFlags>();
  CLI::App* list = AddCommand(job, context, "list", "list jobs, newest first; an array is one row",
                              [&context, listed] { return List(context, *listed); });
  list->add_option("--project", listed->project, "only this project");
  list->add_option("--array", listed->array, "the jobs of this array, one a row");
  list->add_option("--limit", listed->limit, "at most so many (default 1000)")
      ->check(CLI::Range(1, 10'000));
  list->add_flag("--active", listed->active, "only jobs that have not ended");

  auto id = std::make_shared<std::string>();
  AddCommand(job, context, "get", "show one job with its tasks and reasons",
             [&context, id] {
               if (absl::StartsWith(*id, "array-"))
                 return List(context, {.array = *id, .summary = true});
               fabric::v1::GetJobRequest request;
               request.set_id(*id);
               return OneJob(context, request, &JobService::Stub::GetJob);
             })
      ->add_option("id", *id, "job id, or an array's: what has become of it, and its jobs")
      ->required();

  AddCommand(job, context, "why", "every reason why a job waits, and what would let it run",
             [&context, id] { return Why(context, *id); })
      ->add_option("id", *id, "job id")
      ->required();

  auto reason = std::make_shared<std::string>();
  CLI::App* cancel =
      AddCommand(job, context, "cancel", "stop a job: SIGTERM, then SIGKILL after its grace",
                 [&context, id, reason] {
                   fabric::v1::CancelJobRequest request;
                   request.set_id(*id);
                   request.set_reason(*reason);
                   return OneJob(context, request, &JobService::Stub::CancelJob);
                 });
  cancel->add_option("id", *id, "job id, or an array's")->required();
  cancel->add_option("--reason", *reason, "kept with the job");

  AddCommand(job, context, "retry", "run a finished job again, from its last checkpoint",
             [&context, id] {
               fabric::v1::RetryJobRequest request;
               request.set_id(*id);
               return OneJob(context, request, &JobService::Stub::RetryJob);
             })
      ->add_option("id", *id, "job id")
      ->required();

  auto names = std::make_shared<std::vector<std::string>>();
  CLI::App* metrics =
      AddCommand(job, context, "metrics", "print reported scalars as name, step, value",
                 [&context, id, names] { return Metrics(context, *id, *names); });
  metrics->add_option("id", *id, "job id")->required();
  metrics->add_option("--key", *names, "only these series");

  AddCommand(job, context, "events", "what happened to a job (all of the fabric without an id)",
             [&context, id] { return Events(context, *id); })
      ->add_option("id", *id, "job id");
}

}  // namespace oneai::cli

// oneai queue ..., oneai usage fabric
#include <google/protobuf/util/time_util.h>

#include <cmath>
#include <iostream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "base/files/files.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/queue_file.h"
#include "oneai/fabric/v1/queue.grpc.pb.h"

namespace oneai::cli {
namespace {

using fabric::v1::Queue;
using fabric::v1::QueueService;

// An amount in the unit people use: cores, GiB, devices.
std::string AmountText(const std::string& resource, int64_t amount) {
  if (resource == "memory") return HumanBytes(amount);
  return absl::StrCat(static_cast<double>(amount) / 1000);
}

template <typename Map>
std::string AmountsText(const Map& amounts) {
  if (amounts.empty()) return "-";
  const std::map<std::string, int64_t> sorted(amounts.begin(), amounts.end());
  return absl::StrJoin(sorted, " ", [](std::string* out, const auto& amount) {
    absl::StrAppend(out, amount.first, "=", AmountText(amount.first, amount.second));
  });
}

std::string KindOf(const Queue& queue) {
  if (queue.reserve()) return "reserve";
  return queue.sandbox() ? "sandbox" : "-";
}

void PrintQueues(const fabric::v1::ListQueuesResponse& queues) {
  Table table({"QUEUE", "KIND", "NOMINAL", "LIMIT", "USED", "SHARE", "PENDING", "RUNNING"});
  for (const Queue& queue : queues.queues()) {
    table.Add({queue.project(), KindOf(queue), AmountsText(queue.nominal()),
               AmountsText(queue.limit()), AmountsText(queue.used()),
               absl::StrFormat("%.2f", queue.dominant_share()), absl::StrCat(queue.pending_jobs()),
               absl::StrCat(queue.running_jobs())});
  }
  std::cout << table.ToString();
}

int ListQueues(const CommandContext& context) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto queues =
      session->Call<QueueService>(&QueueService::Stub::ListQueues, fabric::v1::ListQueuesRequest());
  if (!queues.ok()) return Fail(queues.status());
  if (context.json()) {
    std::cout << ToJson(*queues);
  } else {
    PrintQueues(*queues);
  }
  return kExitOk;
}

struct SetFlags {
  std::string file;
  std::string project;
  double cpus = 0;
  double memory_gib = 0;
};

int SetFromFile(const CommandContext& context, const std::string& file) {
  const absl::StatusOr<std::string> text =
      file == "-" ? std::string(std::istreambuf_iterator<char>(std::cin), {})
                  : ReadFile(file, 1 << 20);
  if (!text.ok()) return Fail(text.status());
  const absl::StatusOr<fabric::v1::SetQueuesRequest> request =
      ParseQueueFile(*text, file == "-" ? "standard input" : file);
  if (!request.ok()) return Fail(request.status());
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto queues = session->Call<QueueService>(&QueueService::Stub::SetQueues, *request);
  if (!queues.ok()) return Fail(queues.status());
  if (context.json()) {
    std::cout << ToJson(*queues);
  } else {
    std::cout << request->queues_size() << " queues are set\n";
  }
  return kExitOk;
}

int Set(const CommandContext& context, const SetFlags& flags) {
  if (flags.file.empty() == flags.project.empty()) {
    return Fail(absl::InvalidArgumentError(
        "give either -f queues.yaml (the tree) or a project with --cpus and --memory-gib (its "
        "hard limits)"));
  }
  if (!flags.file.empty()) return SetFromFile(context, flags.file);
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  fabric::v1::SetQueueRequest request;
  request.mutable_queue()->set_project(flags.project);
  request.mutable_queue()->set_cpu_milli_limit(std::llround(flags.cpus * 1000));
  request.mutable_queue()->set_memory_bytes_limit(
      static_cast<int64_t>(flags.memory_gib * (1LL << 30)));
  const auto answer = session->Call<QueueService>(&QueueService::Stub::SetQueue, request);
  if (!answer.ok()) return Fail(answer.status());
  if (context.json()) {
    std::cout << ToJson(*answer);
  } else {
    std::cout << "limits of " << flags.project << " are set\n";
  }
  return kExitOk;
}

int Delete(const CommandContext& context, const std::string& path) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  fabric::v1::DeleteQueueRequest request;
  request.set_project(path);
  const auto answer = session->Call<QueueService>(&QueueService::Stub::DeleteQueue, request);
  if (!answer.ok()) return Fail(answer.status());
  std::cout << "queue " << path << " is deleted\n";
  return kExitOk;
}

struct UsageFlags {
  std::string from;
  std::string to;
  std::string unit;
  bool by_day = false;
  bool csv = false;
};

absl::Status ReadDay(const std::string& flag, const std::string& text,
                     google::protobuf::Timestamp& time) {
  absl::CivilDay day;
  if (!absl::ParseCivilTime(text, &day)) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, " ", text, ": is no day; write for example 2026-11-23"));
  }
  time = google::protobuf::util::TimeUtil::SecondsToTimestamp(
      absl::ToUnixSeconds(absl::FromCivil(day, absl::UTCTimeZone())));
  return absl::OkStatus();
}

// RFC 4180; a cell that a spreadsheet would take for a formula is made text.
std::string CsvCell(std::string text) {
  if (!text.empty() && std::string("=+-@").find(text[0]) != std::string::npos) text.insert(0, "'");
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

void PrintUsageCsv(const fabric::v1::GetFabricUsageResponse& usage) {
  std::cout << "business_unit,project,user,resource,day,seconds,cost,jobs\r\n";
  for (const fabric::v1::FabricUsage& record : usage.records()) {
    std::cout << absl::StrJoin(
                     {CsvCell(record.business_unit()), CsvCell(record.project()),
                      CsvCell(record.user()), CsvCell(record.resource()), record.day(),
                      absl::StrFormat("%.3f", record.seconds()),
                      absl::StrFormat("%.4f", record.cost()), absl::StrCat(record.jobs())},
                     ",")
              << "\r\n";
  }
}

void PrintUsage(const fabric::v1::GetFabricUsageResponse& usage) {
  Table table({"PROJECT", "USER", "RESOURCE", "DAY", "HOURS", "COST", "JOBS"});
  for (const fabric::v1::FabricUsage& record : usage.records()) {
    table.Add({record.project(), record.user(), record.resource(),
               record.day().empty() ? "-" : record.day(),
               absl::StrFormat("%.2f", record.seconds() / 3600),
               absl::StrFormat("%.2f", record.cost()), absl::StrCat(record.jobs())});
  }
  std::cout << table.ToString();
}

int FabricUsage(const CommandContext& context, const UsageFlags& flags) {
  fabric::v1::GetFabricUsageRequest request;
  if (!flags.from.empty()) {
    if (const absl::Status day = ReadDay("--from", flags.from, *request.mutable_from()); !day.ok())
      return Fail(day);
  }
  if (!flags.to.empty()) {
    if (const absl::Status day = ReadDay("--to", flags.to, *request.mutable_to()); !day.ok())
      return Fail(day);
  }
  request.set_business_unit(flags.unit);
  request.set_by_day(flags.by_day || flags.csv);
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto usage = session->Call<QueueService>(&QueueService::Stub::GetFabricUsage, request);
  if (!usage.ok()) return Fail(usage.status());
  if (context.json()) {
    std::cout << ToJson(*usage);
  } else if (flags.csv) {
    PrintUsageCsv(*usage);
  } else {
    PrintUsage(*usage);
  }
  return kExitOk;
}

void AddUsage(CLI::App& app, CommandContext& context) {
  auto flags = std::make_shared<UsageFlags>();
  CLI::App* fabric = AddCommand(*app.get_subcommand("usage"), context, "fabric",
                                "core-, GiB- and device-time by project and user, priced",
                                [&context, flags] { return FabricUsage(context, *flags); });
  fabric->add_option("--from", flags->from, "first day (UTC), for example 2026-11-01");
  fabric->add_option("--to", flags->to, "last day");
  fabric->add_option("--unit", flags->unit, "only this business unit");
  fabric->add_flag("--by-day", flags->by_day, "a row for each day");
  fabric->add_flag("--csv", flags->csv, "comma-separated, by day, with a header");
}

}  // namespace

void AddQueueCommands(CLI::App& app, CommandContext& context) {
  CLI::App& queue = *app.add_subcommand("queue", "who may use how much: the queue tree");
  queue.require_subcommand(1);
  AddCommand(queue, context, "list", "shares, limits and use of each queue",
             [&context] { return ListQueues(context); });
  auto flags = std::make_shared<SetFlags>();
  CLI::App* set = AddCommand(queue, context, "set", "set queues from a file, or a project's limits",
                             [&context, flags] { return Set(context, *flags); });
  set->add_option("project", flags->project, "<business unit>/<project>");
  set->add_option("-f,--file", flags->file, "queue file (docs/queues.md); all of it or nothing");
  set->add_option("--cpus", flags->cpus, "hard limit in cores; 0: none")
      ->check(CLI::NonNegativeNumber);
  set->add_option("--memory-gib", flags->memory_gib, "hard limit in GiB; 0: none")
      ->check(CLI::NonNegativeNumber);
  auto path = std::make_shared<std::string>();
  AddCommand(queue, context, "delete", "remove a queue without jobs and children",
             [&context, path] { return Delete(context, *path); })
      ->add_option("queue", *path, "its path")
      ->required();
  AddUsage(app, context);
}

}  // namespace oneai::cli

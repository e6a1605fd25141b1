#include "compute_fabric/simulator/replay_trace.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/config/reader.h"
#include "base/config/scalar.h"
#include "base/status.h"
#include "compute_fabric/simulator/philly_cluster.h"
#include "compute_fabric/simulator/philly_trace.h"

namespace oneai::fabric {
namespace {

constexpr double kSecondsMax = 1e10;  // 300 years
constexpr int64_t kTasksMax = 100'000;
constexpr int64_t kMiB = int64_t{1} << 20;

void SetRanks(JobView& job) {
  job.ranks.clear();
  for (int rank = 0; rank < job.tasks; ++rank) job.ranks.push_back(rank);
}

// One line of the simple format: each column is read if the trace has it.
class SimpleLine {
 public:
  SimpleLine(const CsvTable& table, int64_t row) : table_(table), row_(row) {}

  absl::StatusOr<ReplayJob> Read() {
    ReplayJob job;
    JobView& view = job.request;
    view.gang = true;
    ASSIGN_OR_RETURN(view.submitted, Submit());
    ASSIGN_OR_RETURN(job.run_time, Length("duration", absl::ZeroDuration()));
    ASSIGN_OR_RETURN(view.time_limit, Length("limit", absl::InfiniteDuration()));
    job.run_time = std::max(job.run_time, absl::Seconds(1));
    view.id = Text("name");
    if (view.id.empty()) view.id = absl::StrFormat("job-%06d", row_);
    view.queue = Text("queue");
    view.user = Text("user");
    ASSIGN_OR_RETURN(const int64_t tasks, Integer("tasks", 1, 1, kTasksMax));
    ASSIGN_OR_RETURN(const int64_t tasks_min, Integer("tasks_min", tasks, 1, tasks));
    ASSIGN_OR_RETURN(const int64_t priority, Integer("priority", 0, -1'000'000, 1'000'000));
    view.tasks = static_cast<int>(tasks);
    view.tasks_min = static_cast<int>(tasks_min);
    view.priority = static_cast<int>(priority);
    SetRanks(view);
    RETURN_IF_ERROR(ReadShape(view.shape));
    RETURN_IF_ERROR(ReadWishes(view));
    return job;
  }

 private:
  // Empty: the trace, or the line, does not say.
  std::string Text(const char* column) const {
    const int index = table_.FindColumn(column);
    return index < 0 ? std::string() : table_.Text(row_, index);
  }
  absl::Status Error(const char* column, absl::string_view what) const {
    return table_.FieldError(row_, table_.FindColumn(column), what);
  }
  absl::StatusOr<int64_t> Integer(const char* column, int64_t fallback, int64_t min,
                                  int64_t max) const {
    if (Text(column).empty()) return fallback;
    return table_.Integer(row_, table_.FindColumn(column), min, max);
  }

  absl::StatusOr<absl::Time> Submit() const {
    const std::string text = Text("submit");
    double seconds = 0;
    if (absl::SimpleAtod(text, &seconds) && std::abs(seconds) <= kSecondsMax) {
      return absl::UnixEpoch() + absl::Seconds(seconds);
    }
    absl::Time time;
    std::string error;
    if (absl::ParseTime("%Y-%m-%d %H:%M:%S", text, &time, &error)) return time;
    return Error("submit", "expected seconds or YYYY-MM-DD HH:MM:SS");
  }

  absl::StatusOr<absl::Duration> Length(const char* column, absl::Duration fallback) const {
    const std::string text = Text(column);
    if (text.empty()) return fallback;
    const std::optional<int64_t> milliseconds = ParseMilliseconds(text);
    if (milliseconds && *milliseconds <= kSecondsMax * 1000) {
      return absl::Milliseconds(*milliseconds);
    }
    return Error(column, "expected seconds, or a duration such as 1h30m");
  }

  absl::Status ReadShape(TaskShape& shape) const {
    if (const std::string cpus = Text("cpus"); !cpus.empty()) {
      ASSIGN_OR_RETURN(const double number, table_.Number(row_, table_.FindColumn("cpus"), 0, 1e6));
      shape.cpu_milli = std::llround(number * 1000);
    }
    if (const std::string memory = Text("memory"); !memory.empty()) {
      const std::optional<int64_t> bytes = ParseBytes(memory);
      if (!bytes || *bytes < 0) return Error("memory", "expected bytes, such as 16GiB");
      shape.memory_bytes = *bytes;
    }
    ASSIGN_OR_RETURN(const int64_t count, Integer("count", 1, 0, kTasksMax));
    ASSIGN_OR_RETURN(const int64_t milli, Integer("milli", kWholeDevice, 1, kWholeDevice));
    if (milli < kWholeDevice && count != 1) {
      return Error("milli", "a share is of one device: count must be 1");
    }
    const std::string kinds = Text("kind");
    if (kinds.empty() || count == 0) return absl::OkStatus();
    for (absl::string_view kind : absl::StrSplit(kinds, '|')) {
      DeviceAlternative device{.count = static_cast<int32_t>(count),
                               .milli = static_cast<int32_t>(milli)};
      const std::pair<absl::string_view, absl::string_view> parts =
          absl::StrSplit(kind, absl::MaxSplits('*', 1));
      device.kind = std::string(absl::StripAsciiWhitespace(parts.first));
      const bool has_throughput = kind.find('*') != absl::string_view::npos;
      if (device.kind.empty() ||
          (has_throughput && (!absl::SimpleAtod(parts.second, &device.relative_throughput) ||
                              device.relative_throughput <= 0))) {
        return Error("kind", "expected kinds such as h100|a100*0.5, throughput above 0");
      }
      shape.devices.push_back(std::move(device));
    }
    return absl::OkStatus();
  }

  absl::Status ReadWishes(JobView& view) const {
    const std::string preemptible = Text("preemptible");
    if (!preemptible.empty()) {
      const std::optional<bool> value = ParseBool(preemptible);
      if (!value) return Error("preemptible", "expected true or false");
      view.preemptible = *value;
    }
    const std::string spread = Text("spread");
    if (spread == "node") {
      view.spread = SpreadPolicy::kNode;
    } else if (spread == "node-preferred") {
      view.spread = SpreadPolicy::kNodePreferred;
    } else if (!spread.empty() && spread != "pack") {
      return Error("spread", "expected pack, node or node-preferred");
    }
    const std::string topology = Text("topology");
    if (topology.empty()) return absl::OkStatus();
    absl::string_view level = topology;
    TopologyWish wish{.required = absl::ConsumeSuffix(&level, "!")};
    if (level == "nvlink") {
      wish.level = TopologyLevel::kNvlink;
    } else if (level == "host") {
      wish.level = TopologyLevel::kHost;
    } else if (level == "rack") {
      wish.level = TopologyLevel::kRack;
    } else if (level == "zone") {
      wish.level = TopologyLevel::kZone;
    } else {
      return Error("topology", "expected nvlink, host, rack or zone, with ! where required");
    }
    view.topology = wish;
    return absl::OkStatus();
  }

  const CsvTable& table_;
  const int64_t row_;
};

absl::Status CheckColumns(const CsvTable& table) {
  static const std::vector<std::string> kColumns = {
      "submit", "duration",    "name",     "tasks",  "tasks_min", "cpus",
      "memory", "kind",        "count",    "milli",  "queue",     "priority",
      "user",   "preemptible", "topology", "spread", "limit"};
  for (const std::string& column : table.header()) {
    if (std::find(kColumns.begin(), kColumns.end(), column) != kColumns.end()) continue;
    const std::optional<std::string> nearest = NearestWord(column, kColumns);
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown column ", column,
        nearest ? absl::StrCat("; did you mean ", *nearest, "?")
                : absl::StrCat("; a simple trace has ", absl::StrJoin(kColumns, ", "))));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ReplayJob>> ReadSimple(const CsvTable& table) {
  RETURN_IF_ERROR(table.Column("duration").status());
  RETURN_IF_ERROR(CheckColumns(table));
  std::vector<ReplayJob> jobs;
  std::set<std::string> names;
  for (int64_t row = 0; row < table.num_rows(); ++row) {
    ASSIGN_OR_RETURN(ReplayJob job, SimpleLine(table, row).Read());
    if (!names.insert(job.request.id).second) {
      return table.FieldError(row, table.FindColumn("name"),
                              absl::StrCat("a second job named ", job.request.id));
    }
    jobs.push_back(std::move(job));
  }
  return jobs;
}

std::vector<DeviceAlternative> AnyOf(const std::vector<std::string>& kinds, int32_t count,
                                     int32_t milli) {
  std::vector<DeviceAlternative> devices;
  for (const std::string& kind : kinds) {
    devices.push_back({.kind = kind, .count = count, .milli = milli});
  }
  return devices;
}

absl::StatusOr<std::vector<ReplayJob>> ReadPhilly(const CsvTable& table,
                                                  const TraceDefaults& defaults) {
  ASSIGN_OR_RETURN(const std::vector<PhillyJob> philly, ReadPhillyTrace(table));
  std::vector<ReplayJob> jobs =
      MakePhillyJobs(philly, std::max(1.0, defaults.limit_factor), defaults.seed);
  for (ReplayJob& job : jobs) {
    if (defaults.limit_factor == 0) job.request.time_limit = absl::InfiniteDuration();
    job.request.shape.devices =
        AnyOf(defaults.kinds, job.request.shape.devices[0].count, kWholeDevice);
  }
  return jobs;
}

absl::StatusOr<std::vector<ReplayJob>> ReadAlibaba(const CsvTable& table,
                                                   const TraceDefaults& defaults) {
  ASSIGN_OR_RETURN(const int cpu, table.Column("cpu_milli"));
  ASSIGN_OR_RETURN(const int memory, table.Column("memory_mib"));
  ASSIGN_OR_RETURN(const int num_gpu, table.Column("num_gpu"));
  ASSIGN_OR_RETURN(const int gpu_milli, table.Column("gpu_milli"));
  ASSIGN_OR_RETURN(const int creation, table.Column("creation_time"));
  ASSIGN_OR_RETURN(const int deletion, table.Column("deletion_time"));
  const int scheduled = table.FindColumn("scheduled_time");
  const int spec = table.FindColumn("gpu_spec");
  const int qos = table.FindColumn("qos");
  std::mt19937_64 random(defaults.seed);
  std::vector<ReplayJob> jobs;
  constexpr int64_t kMax = static_cast<int64_t>(kSecondsMax);
  for (int64_t row = 0; row < table.num_rows(); ++row) {
    const double drawn = static_cast<double>(random() >> 11) * 0x1.0p-53;
    if (table.Text(row, deletion).empty() || table.Text(row, creation).empty()) continue;
    ReplayJob job;
    JobView& view = job.request;
    ASSIGN_OR_RETURN(const int64_t created, table.Integer(row, creation, 0, kMax));
    ASSIGN_OR_RETURN(const int64_t deleted, table.Integer(row, deletion, 0, kMax));
    int64_t began = created;
    if (scheduled >= 0 && !table.Text(row, scheduled).empty()) {
      ASSIGN_OR_RETURN(began, table.Integer(row, scheduled, 0, kMax));
    }
    ASSIGN_OR_RETURN(view.shape.cpu_milli, table.Integer(row, cpu, 0, 1'000'000'000));
    ASSIGN_OR_RETURN(const int64_t mib, table.Integer(row, memory, 0, 1'000'000'000));
    ASSIGN_OR_RETURN(const int64_t count, table.Integer(row, num_gpu, 0, 1024));
    ASSIGN_OR_RETURN(const int64_t milli, table.Integer(row, gpu_milli, 0, kWholeDevice));
    view.shape.memory_bytes = mib * kMiB;
    view.id = absl::StrFormat("task-%06d", row);
    view.queue = qos < 0 ? "" : table.Text(row, qos);
    view.submitted = absl::FromUnixSeconds(created);
    view.gang = true;
    SetRanks(view);
    if (count > 0) {
      std::vector<std::string> kinds = defaults.kinds;
      if (spec >= 0 && !table.Text(row, spec).empty()) {
        kinds = absl::StrSplit(table.Text(row, spec), '|');
      }
      view.shape.devices = AnyOf(kinds, static_cast<int32_t>(count), static_cast<int32_t>(milli));
    }
    job.run_time = absl::Seconds(std::max<int64_t>(1, deleted - began));
    if (defaults.limit_factor > 0) {
      const double factor = 1 + (std::max(1.0, defaults.limit_factor) - 1) * drawn;
      view.time_limit = absl::Ceil(job.run_time * factor, absl::Seconds(1));
    }
    jobs.push_back(std::move(job));
  }
  return jobs;
}

}  // namespace

absl::StatusOr<std::vector<ReplayJob>> ReadReplayTrace(const CsvTable& table,
                                                       const TraceDefaults& defaults) {
  if (table.FindColumn("virtual_cluster") >= 0) return ReadPhilly(table, defaults);
  if (table.FindColumn("gpu_milli") >= 0) return ReadAlibaba(table, defaults);
  // Its error lists the columns that there are.
  RETURN_IF_ERROR(table.Column("submit").status());
  return ReadSimple(table);
}

}  // namespace oneai::fabric

#include "controller/fabric_metrics.h"

#include <google/protobuf/util/time_util.h>
#include <prometheus/gauge.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "base/metrics/metrics.h"

namespace oneai {
namespace {

using Values = std::map<prometheus::Labels, double>;

// Sets one family; label sets that are gone (a device kind that left) go to zero.
void SetGauges(const std::string& name, const std::string& help, const Values& values) {
  prometheus::Family<prometheus::Gauge>& family =
      prometheus::BuildGauge().Name(name).Help(help).Register(MetricsRegistry());
  for (const prometheus::MetricFamily& known : family.Collect()) {
    for (const prometheus::ClientMetric& metric : known.metric) {
      prometheus::Labels labels;
      for (const auto& label : metric.label) labels[label.name] = label.value;
      if (values.count(labels) == 0) family.Add(labels).Set(0);
    }
  }
  for (const auto& [labels, value] : values) family.Add(labels).Set(value);
}

std::string Lower(const std::string& name) { return absl::AsciiStrToLower(name); }

void SetJobs(const fabric::Controller& controller, absl::Time now) {
  Values jobs;
  double pending_seconds_max = 0;
  for (int state = fabric::v1::PENDING; state <= fabric::v1::CANCELLED; ++state) {
    jobs[{{"state", Lower(JobState_Name(static_cast<fabric::v1::JobState>(state)))}}] = 0;
  }
  for (const fabric::v1::Job& job : controller.ListJobs()) {
    jobs[{{"state", Lower(JobState_Name(job.state()))}}] += 1;
    if (job.state() != fabric::v1::PENDING) continue;
    const absl::Time submitted = absl::FromUnixMillis(
        google::protobuf::util::TimeUtil::TimestampToMilliseconds(job.submitted()));
    pending_seconds_max = std::max(pending_seconds_max, absl::ToDoubleSeconds(now - submitted));
  }
  SetGauges("oneai_jobs", "Jobs by state", jobs);
  SetGauges("oneai_job_pending_seconds_max", "Age of the job that has waited longest",
            {{{}, pending_seconds_max}});
}

void SetNodes(const fabric::Controller& controller) {
  Values nodes;
  Values cores = {{{{"use", "total"}}, 0}, {{{"use", "used"}}, 0}};
  Values memory = cores;
  Values devices;
  for (int state = fabric::v1::READY; state <= fabric::v1::NOT_READY; ++state) {
    nodes[{{"state", Lower(NodeState_Name(static_cast<fabric::v1::NodeState>(state)))}}] = 0;
  }
  for (const fabric::v1::Node& node : controller.ListNodes()) {
    nodes[{{"state", Lower(NodeState_Name(node.state()))}}] += 1;
    cores[{{"use", "total"}}] += static_cast<double>(node.info().cpu_milli()) / 1000;
    cores[{{"use", "used"}}] += static_cast<double>(node.cpu_milli_used()) / 1000;
    memory[{{"use", "total"}}] += static_cast<double>(node.info().memory_bytes());
    memory[{{"use", "used"}}] += static_cast<double>(node.memory_bytes_used());
    const std::set<std::string> used(node.device_ids_used().begin(), node.device_ids_used().end());
    for (const fabric::v1::Device& device : node.info().devices()) {
      devices[{{"kind", device.kind()}, {"use", "total"}}] += 1;
      devices[{{"kind", device.kind()}, {"use", "used"}}] += used.count(device.id()) > 0 ? 1 : 0;
    }
  }
  SetGauges("oneai_nodes", "Nodes by state", nodes);
  SetGauges("oneai_node_cpu_cores", "Cores of all nodes", cores);
  SetGauges("oneai_node_memory_bytes", "Memory of all nodes", memory);
  SetGauges("oneai_devices", "Accelerators of all nodes by kind", devices);
}

void SetEndpoints(const fabric::Controller& controller) {
  Values replicas = {{{{"state", "ready"}}, 0}, {{{"state", "wanted"}}, 0}};
  for (const fabric::v1::Endpoint& endpoint : controller.ListEndpoints()) {
    replicas[{{"state", "wanted"}}] += endpoint.replicas_wanted();
    for (const fabric::v1::Replica& replica : endpoint.replicas())
      replicas[{{"state", "ready"}}] += replica.ready() ? 1 : 0;
  }
  SetGauges("oneai_endpoint_replicas", "Replicas of all endpoints", replicas);
}

}  // namespace

void UpdateFabricMetrics(const fabric::Controller& controller, absl::Time now) {
  SetJobs(controller, now);
  SetNodes(controller);
  SetEndpoints(controller);
}

}  // namespace oneai

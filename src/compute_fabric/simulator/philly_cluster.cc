#include "compute_fabric/simulator/philly_cluster.h"

#include <cmath>
#include <numeric>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace oneai::fabric {
namespace {

constexpr int64_t kCpuMilliPerGpu = 1000;
constexpr int64_t kGiB = int64_t{1} << 30;

// std::uniform_real_distribution may differ between libraries; this does not.
double Uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1.0p-53; }

}  // namespace

ReplayCluster MakePhillyCluster(int num_gpus, const std::map<std::string, int>& quotas) {
  ReplayCluster cluster;
  for (int first = 0; first < num_gpus; first += kPhillyGpusPerNode) {
    const int index = first / kPhillyGpusPerNode;
    NodeSpec node{.name = absl::StrFormat("node-%04d", index),
                  .cpu_milli = kPhillyGpusPerNode * kCpuMilliPerGpu,
                  .memory_bytes = kPhillyGpusPerNode * kGiB,
                  .labels = {{"rack", absl::StrFormat("rack-%03d", index / kPhillyNodesPerRack)}}};
    for (int i = 0; i < std::min(kPhillyGpusPerNode, num_gpus - first); ++i) {
      node.devices.push_back({.id = absl::StrCat(i), .kind = kPhillyGpu, .memory_bytes = kGiB});
    }
    cluster.nodes.push_back(std::move(node));
  }
  for (const auto& [tenant, quota] : quotas) {
    cluster.queues.push_back({.path = tenant,
                              .nominal = {{kPhillyGpu, int64_t{quota} * kWholeDevice},
                                          {kCpu, quota * kCpuMilliPerGpu},
                                          {kMemory, quota * kGiB}}});
  }
  return cluster;
}

std::vector<ReplayJob> MakePhillyJobs(const std::vector<PhillyJob>& jobs, double limit_factor,
                                      uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<ReplayJob> replay;
  replay.reserve(jobs.size());
  for (size_t i = 0; i < jobs.size(); ++i) {
    const PhillyJob& job = jobs[i];
    const int gpus_each = job.num_gpus <= kPhillyGpusPerNode
                              ? job.num_gpus
                              : std::gcd(job.num_gpus, kPhillyGpusPerNode);
    const int num_tasks = job.num_gpus / gpus_each;
    const double factor = 1 + (limit_factor - 1) * Uniform(random);
    JobView view{.id = absl::StrFormat("job-%06d", i),
                 .queue = job.tenant,
                 .submitted = absl::FromUnixSeconds(job.submit_s),
                 .gang = true,
                 .tasks_min = num_tasks,
                 .tasks = num_tasks};
    view.shape.cpu_milli = gpus_each * kCpuMilliPerGpu;
    view.shape.memory_bytes = gpus_each * kGiB;
    view.shape.devices = {{.kind = kPhillyGpu, .count = gpus_each}};
    if (num_tasks > 1) view.topology = TopologyWish{TopologyLevel::kRack, false};
    view.time_limit = absl::Seconds(
        static_cast<int64_t>(std::ceil(static_cast<double>(job.duration_s) * factor)));
    for (int rank = 0; rank < num_tasks; ++rank) view.ranks.push_back(rank);
    replay.push_back({std::move(view), absl::Seconds(job.duration_s)});
  }
  return replay;
}

}  // namespace oneai::fabric

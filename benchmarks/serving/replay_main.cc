// serving_replay_bench STRETCH TRACE...: what the planner and the prefix cache make of recorded
// workloads, under a cost model of the order of an 8B model on one GPU. The time between arrivals
// is multiplied by STRETCH: services are recorded on more than one GPU.
#include <cstdio>
#include <string>

#include "absl/strings/numbers.h"
#include "serving/scheduler/workload_replay.h"

namespace oneai::serving {
namespace {

int Main(int argc, char** argv) {
  double stretch = 0;
  if (argc < 3 || !absl::SimpleAtod(argv[1], &stretch) || !(stretch > 0)) {
    std::fprintf(stderr, "usage: serving_replay_bench STRETCH TRACE.csv|TRACE.jsonl ...\n");
    return 2;
  }
  std::printf("%-10s %8s %8s %9s %9s %9s %9s %9s %9s %8s\n", "blocks", "requests", "preempt",
              "ttft p50", "ttft p99", "itl p50", "itl p99", "goodput/s", "output/s", "hits");
  for (int i = 2; i < argc; ++i) {
    auto requests = ReadWorkload(argv[i], int64_t{1} << 24);
    if (!requests.ok()) {
      std::fprintf(stderr, "%s\n", std::string(requests.status().message()).c_str());
      return 1;
    }
    for (RecordedRequest& request : *requests) request.arrival_s *= stretch;
    std::printf("%s\n", argv[i]);
    for (const int64_t num_blocks : {2000, 20'000, 200'000}) {
      ReplayOptions options;
      options.block_tokens = kRecordedBlockTokens;
      options.num_blocks = num_blocks;
      options.limits = {2048, 128, absl::Seconds(30)};
      const auto report = Replay(*requests, options);
      if (!report.ok()) {
        std::fprintf(stderr, "%s\n", std::string(report.status().message()).c_str());
        return 1;
      }
      std::printf("%-10ld %8ld %8ld %8.3fs %8.3fs %8.4fs %8.4fs %9.3f %9.1f %7.2f%%\n",
                  static_cast<long>(num_blocks), static_cast<long>(report->num_requests),
                  static_cast<long>(report->num_preemptions), report->ttft_p50_s,
                  report->ttft_p99_s, report->itl_p50_s, report->itl_p99_s, report->goodput_per_s,
                  report->output_tokens_per_s, 100 * report->block_hit_share);
    }
  }
  return 0;
}

}  // namespace
}  // namespace oneai::serving

int main(int argc, char** argv) { return oneai::serving::Main(argc, argv); }

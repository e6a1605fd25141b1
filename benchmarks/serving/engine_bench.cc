// How fast a checkpoint is served on this machine, as tokens per second and as a share of what the
// machine can do, which is measured in the same run:
//   serving_engine_bench --model DIR [--quantize int8|int4] [--kv bf16|f32|int8] [--threads N]
//     [--isa reference|avx2|avx512|amx] [--repetitions N] [--only pp512,tg128,...] [--trace FILE]
//     [--rate R] [--requests N] [--length-scale X] [--start] [--json FILE] [--vs "llama-bench ..."]
// DIR is any model folder or GGUF file; `oneai model init` makes one of any published shape with
// random weights. --vs runs a peer first (its output must be `llama-bench -o json`) and prints the
// ratios of what both measured.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "benchmarks/serving/bench_cases.h"
#include "kernels/cpu/cpu_info.h"
#include "models/json/json_reader.h"

namespace oneai::serving {
namespace {

struct Flags {
  BenchOptions bench;
  LoadOptions load;
  std::string isa, json, peer;
  std::vector<std::string> only;
  bool start = false;
};

absl::Status SetFlag(Flags& flags, const std::string& name, const std::string& value) {
  bool ok = true;
  if (name == "--model") {
    flags.bench.model = value;
  } else if (name == "--quantize") {
    ok = value == "int8" || value == "int4";
    flags.bench.quantize =
        value == "int4" ? kernels::WeightFormat::kInt4 : kernels::WeightFormat::kInt8;
  } else if (name == "--kv") {
    ok = value == "bf16" || value == "f32" || value == "int8";
    flags.bench.kv_cache = value == "int8"  ? models::KvCacheFormat::kInt8
                           : value == "f32" ? models::KvCacheFormat::kF32
                                            : models::KvCacheFormat::kBf16;
  } else if (name == "--threads") {
    ok = absl::SimpleAtoi(value, &flags.bench.threads);
  } else if (name == "--isa") {
    flags.isa = value;
  } else if (name == "--repetitions") {
    ok = absl::SimpleAtoi(value, &flags.bench.repetitions) && flags.bench.repetitions > 0;
  } else if (name == "--only") {
    flags.only = absl::StrSplit(value, ',');
  } else if (name == "--trace") {
    flags.load.trace = value;
  } else if (name == "--rate") {
    ok = absl::SimpleAtod(value, &flags.load.requests_per_s) && flags.load.requests_per_s > 0;
  } else if (name == "--requests") {
    ok = absl::SimpleAtoi(value, &flags.load.num_requests) && flags.load.num_requests > 0;
  } else if (name == "--length-scale") {
    ok = absl::SimpleAtod(value, &flags.load.length_scale) && flags.load.length_scale > 0;
  } else if (name == "--json") {
    flags.json = value;
  } else if (name == "--vs") {
    flags.peer = value;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("unknown flag ", name));
  }
  if (ok) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " does not take \"", value, "\""));
}

absl::StatusOr<Flags> ParseFlags(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--start") {
      flags.start = true;
      continue;
    }
    if (i + 1 == argc) {
      return absl::InvalidArgumentError(absl::StrCat(argv[i], " needs a value"));
    }
    RETURN_IF_ERROR(SetFlag(flags, argv[i], argv[i + 1]));
    ++i;
  }
  if (flags.bench.model.empty()) return absl::InvalidArgumentError("--model DIR is needed");
  return flags;
}

// Tokens per second by test name ("pp512", "tg128@d2048").
absl::StatusOr<std::map<std::string, double>> RunPeer(const std::string& command) {
  std::map<std::string, double> speeds;
  if (command.empty()) return speeds;
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return absl::InternalError("cannot start the peer");
  std::string output;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, n);
  if (pclose(pipe) != 0) return absl::InternalError(absl::StrCat("the peer failed: ", command));
  ASSIGN_OR_RETURN(const models::Json json, models::ParseJson(output, "the peer's output"));
  for (const models::Json& test : json) {
    const int64_t prompt = test.value("n_prompt", 0), gen = test.value("n_gen", 0);
    const int64_t depth = test.value("n_depth", 0);
    if ((prompt > 0) == (gen > 0)) continue;
    const std::string name = absl::StrCat(prompt > 0 ? "pp" : "tg", prompt > 0 ? prompt : gen,
                                          depth > 0 ? absl::StrCat("@d", depth) : "");
    speeds[name] = test.value("avg_ts", 0.0);
  }
  return speeds;
}

class Bench {
 public:
  explicit Bench(Flags flags) : flags_(std::move(flags)) {}

  absl::Status Run() {
    if (!flags_.isa.empty()) {
      ASSIGN_OR_RETURN(const kernels::CpuIsa isa, kernels::ParseIsa(flags_.isa));
      RETURN_IF_ERROR(kernels::SetMaxIsa(isa));
    }
    ASSIGN_OR_RETURN(peer_, RunPeer(flags_.peer));
    peaks_ = kernels::MeasurePeaks(flags_.bench.threads, 2);
    std::printf(
        "%d threads, memory %.1f GB/s, bf16 %.0f GFLOP/s (%s), int8 %.0f GOP/s (%s), fp32 %.0f "
        "GFLOP/s\n",
        peaks_.threads, peaks_.dram_read_bytes_per_s / 1e9, peaks_.bf16_flops / 1e9,
        peaks_.bf16_unit.c_str(), peaks_.int8_ops / 1e9, peaks_.int8_unit.c_str(),
        peaks_.fp32_flops / 1e9);
    if (flags_.start) RETURN_IF_ERROR(MeasureStart());
    RETURN_IF_ERROR(MeasureSpeed());
    if (!flags_.load.trace.empty()) RETURN_IF_ERROR(MeasureTrace());
    report_["rss_bytes"] = ResidentBytes();
    report_["rss_bytes_max"] = PeakResidentBytes();
    std::printf("resident memory %.2f GB, at most %.2f GB\n", ResidentBytes() / 1e9,
                PeakResidentBytes() / 1e9);
    return WriteJson();
  }

 private:
  // For speed, nothing may be remembered from one repetition to the next.
  EngineOptions Options(bool prefix_cache) const {
    EngineOptions options;
    options.max_context_tokens = flags_.bench.context;
    options.max_batch_tokens = flags_.bench.max_batch_tokens;
    options.pending_tokens_max = int64_t{1} << 20;
    options.prefix_cache = prefix_cache;
    return options;
  }

  // From nothing to the first token: with the files read from the disk, and with them in memory.
  absl::Status MeasureStart() {
    for (const char* name : {"cold", "warm"}) {
      if (std::string(name) == "cold") DropFromPageCache(flags_.bench.model);
      const absl::Time start = absl::Now();
      ASSIGN_OR_RETURN(BenchModel model, OpenBenchModel(flags_.bench, Options(false)));
      BenchOptions once = flags_.bench;
      once.repetitions = 1;
      MeasurePrefill(model, once, 16, peaks_);
      const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
      std::printf("%s start: %.2f s to load, %.2f s to the first token\n", name, model.load_s,
                  seconds);
      report_["start"][name] = {{"load_s", model.load_s}, {"first_token_s", seconds}};
    }
    return absl::OkStatus();
  }

  bool Wants(const std::string& name) const {
    return flags_.only.empty() ||
           std::find(flags_.only.begin(), flags_.only.end(), name) != flags_.only.end();
  }

  absl::Status MeasureSpeed() {
    ASSIGN_OR_RETURN(BenchModel model, OpenBenchModel(flags_.bench, Options(false)));
    std::printf("%-14s %10s %11s %11s %10s %7s\n", "", "tokens/s", "of memory", "of matrix", "peer",
                "ratio");
    for (const int64_t num_tokens : {512, 2048}) {
      if (!Wants(absl::StrCat("pp", num_tokens))) continue;
      Print(MeasurePrefill(model, flags_.bench, num_tokens, peaks_));
    }
    for (const int64_t depth : {0, 2048}) {
      if (!Wants(depth == 0 ? "tg128" : "tg128@d2048")) continue;
      Print(MeasureDecode(model, flags_.bench, 1, depth, 128, peaks_));
    }
    for (const int batch : {2, 4, 8, 16, 32}) {
      if (!Wants(absl::StrCat("tg32x", batch))) continue;
      Print(MeasureDecode(model, flags_.bench, batch, 0, 32, peaks_));
    }
    return absl::OkStatus();
  }

  void Print(const BenchResult& result) {
    const auto peer = peer_.find(result.name);
    const double speed = peer == peer_.end() ? 0 : peer->second;
    std::printf("%-14s %10.1f %10.1f%% %10.1f%%", result.name.c_str(), result.tokens_per_s,
                100 * result.bandwidth_share, 100 * result.matrix_share);
    models::Json entry = {{"name", result.name},
                          {"tokens_per_s", result.tokens_per_s},
                          {"bandwidth_share", result.bandwidth_share},
                          {"matrix_share", result.matrix_share}};
    if (speed > 0) {
      std::printf(" %10.1f %6.2fx", speed, result.tokens_per_s / speed);
      entry["peer_tokens_per_s"] = speed;
    }
    std::printf("\n");
    std::fflush(stdout);
    report_["speed"].push_back(std::move(entry));
  }

  absl::Status MeasureTrace() {
    ASSIGN_OR_RETURN(BenchModel model, OpenBenchModel(flags_.bench, Options(true)));
    ASSIGN_OR_RETURN(const LoadResult r, MeasureLoad(model, flags_.load));
    std::printf(
        "load: %ld requests at %.2f/s, lengths x %.3f: %.1f prompt and %.1f output tokens/s, TTFT "
        "p50 %.3f s, p99 %.3f s, ITL p50 %.4f s, p99 %.4f s, goodput %.2f/s (TTFT <= %.1f s, ITL "
        "<= %.2f s), prefix hits %.1f%%, refused %ld\n",
        static_cast<long>(r.num_requests), flags_.load.requests_per_s, flags_.load.length_scale,
        r.prompt_tokens / r.seconds, r.output_tokens / r.seconds, r.ttft_p50_s, r.ttft_p99_s,
        r.itl_p50_s, r.itl_p99_s, r.goodput_per_s, flags_.load.ttft_slo_s, flags_.load.itl_slo_s,
        100 * r.hit_share, static_cast<long>(r.num_refused));
    report_["load"] = {{"requests", r.num_requests},
                       {"refused", r.num_refused},
                       {"seconds", r.seconds},
                       {"prompt_tokens", r.prompt_tokens},
                       {"output_tokens", r.output_tokens},
                       {"ttft_p50_s", r.ttft_p50_s},
                       {"ttft_p99_s", r.ttft_p99_s},
                       {"itl_p50_s", r.itl_p50_s},
                       {"itl_p99_s", r.itl_p99_s},
                       {"goodput_per_s", r.goodput_per_s},
                       {"hit_share", r.hit_share}};
    return absl::OkStatus();
  }

  absl::Status WriteJson() {
    report_["threads"] = peaks_.threads;
    report_["memory_bytes_per_s"] = peaks_.dram_read_bytes_per_s;
    report_["matrix_ops_per_s"] = MatrixPeak(flags_.bench, peaks_);
    if (flags_.json.empty()) return absl::OkStatus();
    std::ofstream out(flags_.json);
    out << report_.dump(2) << "\n";
    if (out.good()) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("cannot write ", flags_.json));
  }

  const Flags flags_;
  kernels::MachinePeaks peaks_;
  std::map<std::string, double> peer_;
  models::Json report_;
};

int Main(int argc, char** argv) {
  absl::StatusOr<Flags> flags = ParseFlags(argc, argv);
  const absl::Status status = flags.ok() ? Bench(*std::move(flags)).Run() : flags.status();
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace oneai::serving

int main(int argc, char** argv) { return oneai::serving::Main(argc, argv); }

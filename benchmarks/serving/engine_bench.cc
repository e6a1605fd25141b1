// How fast a checkpoint is served on this machine, as tokens per second and as a share of what the
// machine can do, which is measured in the same run:
//   serving_engine_bench --model DIR [--quantize int8|int4] [--kv bf16|f32|int8] [--threads N]
//     [--isa reference|avx2|avx512|amx] [--rounds N] [--only pp512,tg128@d2048,tg32x16] [--profile]
//     [--trace FILE] [--rate R] [--requests N] [--length-scale X] [--start] [--json FILE]
//     [--vs "llama-bench -m FILE -t 2 -fa 1"]
// DIR is any model folder or GGUF file; `oneai model init` makes one of any published shape with
// random weights. Ceilings, ours and the peer's are measured in turns, N rounds of each case;
// medians and extremes are printed. --vs takes a llama-bench command without tests: those of the
// case are added in each round. --profile prints where the time of a case goes, by kind of op.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "benchmarks/serving/bench_rounds.h"
#include "kernels/cpu/cpu_info.h"

namespace oneai::serving {
namespace {

struct Flags {
  BenchOptions bench;
  LoadOptions load;
  std::string isa, json, peer;
  std::vector<BenchCase> cases = {
      PrefillCase(512),         PrefillCase(2048),     DecodeCase(1, 0, 128),
      DecodeCase(1, 2048, 128), DecodeCase(2, 0, 32),  DecodeCase(4, 0, 32),
      DecodeCase(8, 0, 32),     DecodeCase(16, 0, 32), DecodeCase(32, 0, 32)};
  bool start = false;
  bool profile = false;
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
  } else if (name == "--rounds") {
    ok = absl::SimpleAtoi(value, &flags.bench.rounds) && flags.bench.rounds > 0;
  } else if (name == "--only") {
    flags.cases.clear();
    for (const absl::string_view only : absl::StrSplit(value, ',', absl::SkipEmpty())) {
      ASSIGN_OR_RETURN(flags.cases.emplace_back(), ParseCase(std::string(only)));
    }
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
    const std::string name = argv[i];
    if (name == "--start" || name == "--profile") {
      (name == "--start" ? flags.start : flags.profile) = true;
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

class Bench {
 public:
  explicit Bench(Flags flags) : flags_(std::move(flags)) {}

  absl::Status Run() {
    if (!flags_.isa.empty()) {
      ASSIGN_OR_RETURN(const kernels::CpuIsa isa, kernels::ParseIsa(flags_.isa));
      RETURN_IF_ERROR(kernels::SetMaxIsa(isa));
    }
    if (flags_.start) RETURN_IF_ERROR(MeasureStart());
    RETURN_IF_ERROR(MeasureSpeed());
    if (!flags_.load.trace.empty()) RETURN_IF_ERROR(MeasureTrace());
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
      RunOnce(model, PrefillCase(16));
      const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
      std::printf("%s start: %.2f s to load, %.2f s to the first token\n", name, model.load_s,
                  seconds);
      report_["start"][name] = {{"load_s", model.load_s}, {"first_token_s", seconds}};
    }
    return absl::OkStatus();
  }

  absl::Status MeasureSpeed() {
    ASSIGN_OR_RETURN(BenchModel model, OpenBenchModel(flags_.bench, Options(false)));
    // What loading took at most; the ceilings' own memory comes after it.
    const double rss_max = PeakResidentBytes();
    {
      Ceilings ceilings(flags_.bench);
      std::printf("%d threads; matrix peak of %s; medians of %d rounds\n", ceilings.num_threads(),
                  ceilings.unit().c_str(), flags_.bench.rounds);
      report_["threads"] = ceilings.num_threads();
      report_["matrix_unit"] = ceilings.unit();
      PrintHeader();
      for (const BenchCase& work : flags_.cases) {
        ASSIGN_OR_RETURN(const BenchResult result,
                         MeasureRounds(model, flags_.bench, work, flags_.peer, ceilings));
        Print(result);
        report_["speed"].push_back(ToJson(result));
        if (flags_.profile) PrintProfile(model, work);
      }
    }
    const double rss = ResidentBytes();
    report_["rss_bytes"] = rss;
    report_["rss_bytes_max"] = std::max(rss, rss_max);
    std::printf("resident memory %.2f GB, at most %.2f GB\n", rss / 1e9,
                std::max(rss, rss_max) / 1e9);
    return absl::OkStatus();
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
    if (flags_.json.empty()) return absl::OkStatus();
    std::ofstream out(flags_.json);
    out << report_.dump(2) << "\n";
    if (out.good()) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("cannot write ", flags_.json));
  }

  const Flags flags_;
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

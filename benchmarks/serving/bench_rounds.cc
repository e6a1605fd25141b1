#include "benchmarks/serving/bench_rounds.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/cpu/cpu_info.h"
#include "models/json/json_reader.h"

namespace oneai::serving {
namespace {

std::string UnitOf(const BenchOptions& options) {
  const kernels::CpuFeatures& cpu = kernels::GetCpuInfo().features;
  const bool with_avx512 = kernels::MaxIsa() >= kernels::CpuIsa::kAvx512;
  const bool with_amx = kernels::MaxIsa() >= kernels::CpuIsa::kAmx;
  if (options.quantize.has_value() && kernels::IsInteger(*options.quantize)) {
    if (with_amx && cpu.amx_int8) return "amx_int8";
    if (with_avx512 && cpu.avx512_vnni) return "avx512_vnni";
  } else {
    if (with_amx && cpu.amx_bf16) return "amx_bf16";
    if (with_avx512 && cpu.avx512_bf16) return "avx512_bf16";
  }
  return with_avx512 && cpu.avx512 ? "avx512" : "avx2";
}

Ceiling CeilingOf(const std::vector<double>& pieces) {
  const Spread spread = SpreadOf(pieces);
  return {spread.median, spread.max};
}

// Tokens per second of the one test that the case is to llama-bench.
absl::StatusOr<double> RunPeer(const std::string& peer, const BenchCase& work) {
  const std::string command =
      work.measures_prompt
          ? absl::StrCat(peer, " -p ", work.num_prompt, " -n 0 -r 1 -o json")
          : absl::StrCat(peer, " -p 0 -n ", work.num_output, " -d ",
                         work.num_prompt > 1 ? work.num_prompt : 0, " -r 1 -o json");
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return absl::InternalError("cannot start the peer");
  std::string output;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, n);
  if (pclose(pipe) != 0) return absl::InternalError(absl::StrCat("the peer failed: ", command));
  ASSIGN_OR_RETURN(const models::Json json, models::ParseJson(output, "the peer's output"));
  for (const models::Json& test : json) {
    const bool is_prompt = test.value("n_prompt", 0) > 0;
    if (is_prompt == work.measures_prompt) return test.value("avg_ts", 0.0);
  }
  return absl::InternalError(absl::StrCat("the peer reports no such test: ", command));
}

void PrintCell(const Spread& share) {
  std::printf("  %5.1f%% (%5.1f-%5.1f)", 100 * share.median, 100 * share.min, 100 * share.max);
}

models::Json ToJson(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

}  // namespace

Spread SpreadOf(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
  return {median, values.front(), values.back()};
}

Ceilings::Ceilings(const BenchOptions& options)
    : context_(options.threads), reader_(context_), unit_(UnitOf(options)) {}

Ceiling Ceilings::ReadBytesPerS() { return CeilingOf(reader_.ReadPieces(0.1)); }

Ceiling Ceilings::MatrixOpsPerS() {
  std::vector<double> pieces;
  for (int i = 0; i < 15; ++i) pieces.push_back(kernels::MeasurePeakFlops(unit_, context_, 0.002));
  return CeilingOf(pieces);
}

absl::StatusOr<BenchResult> MeasureRounds(BenchModel& model, const BenchOptions& options,
                                          const BenchCase& work, const std::string& peer,
                                          Ceilings& ceilings) {
  const CaseWork todo = WorkOf(work, model.cost);
  const bool with_peer = !peer.empty() && work.num_sequences == 1;
  std::vector<double> speeds, bandwidths, matrices, memory_shares, matrix_shares, peers, ratios;
  double best_bandwidth = 0, best_matrix = 0;
  RunOnce(model, PrefillCase(16));  // buffers, page tables, clocks
  for (int round = 0; round < options.rounds; ++round) {
    const Ceiling read_before = ceilings.ReadBytesPerS();
    const Ceiling matrix_before = ceilings.MatrixOpsPerS();
    const double seconds = RunOnce(model, work);
    const Ceiling matrix_after = ceilings.MatrixOpsPerS();
    const Ceiling read_after = ceilings.ReadBytesPerS();
    const double bandwidth = (read_before.sustained + read_after.sustained) / 2;
    const double matrix = (matrix_before.sustained + matrix_after.sustained) / 2;
    best_bandwidth = std::max({best_bandwidth, read_before.best, read_after.best});
    best_matrix = std::max({best_matrix, matrix_before.best, matrix_after.best});
    speeds.push_back(todo.tokens / seconds);
    bandwidths.push_back(bandwidth);
    matrices.push_back(matrix);
    memory_shares.push_back(todo.bytes / seconds / bandwidth);
    matrix_shares.push_back(todo.flops / seconds / matrix);
    if (!with_peer) continue;
    ASSIGN_OR_RETURN(const double peer_speed, RunPeer(peer, work));
    peers.push_back(peer_speed);
    ratios.push_back(speeds.back() / peer_speed);
  }
  BenchResult result{work,
                     SpreadOf(speeds),
                     SpreadOf(memory_shares),
                     SpreadOf(matrix_shares),
                     SpreadOf(bandwidths),
                     SpreadOf(matrices)};
  const double seconds = todo.tokens / result.tokens_per_s.median;
  result.best_bandwidth_share = todo.bytes / seconds / best_bandwidth;
  result.best_matrix_share = todo.flops / seconds / best_matrix;
  if (with_peer) result.peer_tokens_per_s = SpreadOf(peers), result.ratio = SpreadOf(ratios);
  return result;
}

void PrintHeader() {
  std::printf("%-14s %9s  %-21s %-21s %6s %7s %9s %s\n", "", "tokens/s", " of memory (min-max)",
              " of matrix (min-max)", "GB/s", "Gop/s", "peer", "ratio (min-max)");
}

void Print(const BenchResult& r) {
  std::printf("%-14s %9.1f", r.work.name.c_str(), r.tokens_per_s.median);
  PrintCell(r.bandwidth_share);
  PrintCell(r.matrix_share);
  std::printf("  %6.1f %7.0f", r.bandwidth.median / 1e9, r.matrix.median / 1e9);
  if (r.ratio.has_value()) {
    std::printf(" %9.1f %5.2fx (%.2f-%.2f)", r.peer_tokens_per_s->median, r.ratio->median,
                r.ratio->min, r.ratio->max);
  }
  std::printf("\n");
  std::fflush(stdout);
}

models::Json ToJson(const BenchResult& r) {
  models::Json json = {{"name", r.work.name},
                       {"tokens_per_s", ToJson(r.tokens_per_s)},
                       {"bandwidth_share", ToJson(r.bandwidth_share)},
                       {"bandwidth_share_of_best", r.best_bandwidth_share},
                       {"matrix_share", ToJson(r.matrix_share)},
                       {"matrix_share_of_best", r.best_matrix_share},
                       {"memory_bytes_per_s", ToJson(r.bandwidth)},
                       {"matrix_ops_per_s", ToJson(r.matrix)}};
  if (r.ratio.has_value()) {
    json["peer_tokens_per_s"] = ToJson(*r.peer_tokens_per_s);
    json["ratio"] = ToJson(*r.ratio);
  }
  return json;
}

void PrintProfile(BenchModel& model, const BenchCase& work) {
  // A decode case's prompts are longer than its steps, or as long as few of them.
  if (work.measures_prompt) {
    model.model->StartProfile(1, work.num_prompt);
  } else {
    model.model->StartProfile(1, work.num_sequences);
  }
  const double seconds = RunOnce(model, work);
  model.model->StopProfile();
  const models::OpProfile& profile = model.model->profile();
  const models::OpProfile::Entry& step = profile.entry(models::OpKind::kStep);
  const double steps = static_cast<double>(std::max<int64_t>(1, step.calls));
  const double steps_timed = work.measures_prompt ? steps : static_cast<double>(work.num_output);
  std::printf("  profile of %s, per step of %ld: %.3f ms, outside the model %.3f ms\n",
              work.name.c_str(), static_cast<long>(step.calls), 1e3 * seconds / steps_timed,
              1e3 * seconds / steps_timed - static_cast<double>(step.ns) / 1e6 / steps);
  std::printf("  %-14s %9s %7s %10s %10s %7s\n", "", "ms", "share", "in loops", "waiting", "loops");
  int64_t explained = 0;
  const auto print = [&](absl::string_view name, const models::OpProfile::Entry& e) {
    const double unit = 1e6 * steps;
    std::printf("  %-14s %9.3f %6.1f%% %10.3f %10.3f %7.0f\n", std::string(name).c_str(),
                static_cast<double>(e.ns) / unit,
                100 * static_cast<double>(e.ns) / static_cast<double>(step.ns),
                static_cast<double>(e.loop_ns) / unit, static_cast<double>(e.waited_ns) / unit,
                static_cast<double>(e.num_loops) / steps);
  };
  for (size_t i = 0; i + 1 < models::kNumOpKinds; ++i) {
    const auto kind = static_cast<models::OpKind>(i);
    if (profile.entry(kind).calls == 0) continue;
    explained += profile.entry(kind).ns;
    print(models::OpName(kind), profile.entry(kind));
  }
  print("other", {.calls = 1, .ns = step.ns - explained});
  print("step", step);
}

}  // namespace oneai::serving

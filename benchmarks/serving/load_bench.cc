// What callers see of a server under load, from outside and over the wire:
//   serving_load_bench --serve DIR [--program FILE] [--settings JSON] | --grpc HOST:PORT --tls
//   FOLDER [--model NAME]
//     and, or instead, --http URL [--http-model NAME] [--http-ca FILE] [--extra-json JSON]
//     [--key KEY] [--clients 16] [--requests 48] [--prompt-tokens 128] [--output-tokens 128]
//     [--output-spread 0]
//     [--trace FILE --rate R --length-scale X] [--rounds 3] [--vocab 32000] [--seed 1]
//     [--ttft-limit 2] [--tpot-limit 0.2] [--start] [--json FILE]
// --serve starts oneai-serve (--program; else the one in ../bin) and asks it over gRPC with mutual
// TLS; --grpc asks a running replica or gateway, with ca.crt, client.crt and client.key of a
// folder. --http is any server of OpenAI's /v1/completions that takes token ids: llama-server,
// vLLM, our gateway. Where both are given they are measured in turn, round by round, so that a
// machine whose speed varies is the same for both; figures are medians over the rounds. Lengths of
// answers lie within --output-tokens times 1 - spread to 1 + spread: without a spread all clients
// read prompts and write answers at the same time. --trace is an open loop: the recorded arrivals
// at a mean of R a second, lengths times X.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <random>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/process/child_process.h"
#include "base/status.h"
#include "benchmarks/serving/load_run.h"
#include "benchmarks/serving/load_target.h"
#include "benchmarks/serving/replica_process.h"
#include "serving/scheduler/workload.h"

namespace oneai::serving {
namespace {

using models::Json;
namespace fs = std::filesystem;

class Flags {
 public:
  static absl::StatusOr<Flags> Parse(int argc, char** argv) {
    Flags flags;
    for (int i = 1; i < argc; ++i) {
      const std::string name = argv[i];
      if (!flags.values_.contains(name))
        return absl::InvalidArgumentError(absl::StrCat("unknown flag ", name));
      if (name == "--start") {
        flags.values_[name] = "1";
      } else if (++i < argc) {
        flags.values_[name] = argv[i];
      } else {
        return absl::InvalidArgumentError(absl::StrCat(name, " needs a value"));
      }
    }
    if (flags.Text("--serve").empty() && flags.Text("--grpc").empty() &&
        flags.Text("--http").empty())
      return absl::InvalidArgumentError("--serve DIR, --grpc HOST:PORT or --http URL is needed");
    for (const char* name : {"--clients", "--requests", "--prompt-tokens", "--output-tokens",
                             "--rounds", "--vocab", "--rate", "--length-scale"}) {
      if (!(flags.Number(name) > 0))
        return absl::InvalidArgumentError(absl::StrCat(name, " must be a number above 0"));
    }
    return flags;
  }

  const std::string& Text(const std::string& name) const { return values_.at(name); }
  double Number(const std::string& name) const {
    double value = 0;
    return absl::SimpleAtod(Text(name), &value) ? value : 0;
  }
  int64_t Count(const std::string& name) const { return static_cast<int64_t>(Number(name)); }

 private:
  std::map<std::string, std::string> values_ = {{"--serve", ""},
                                                {"--program", ""},
                                                {"--settings", "{}"},
                                                {"--grpc", ""},
                                                {"--tls", ""},
                                                {"--model", ""},
                                                {"--http", ""},
                                                {"--http-model", ""},
                                                {"--http-ca", ""},
                                                {"--extra-json", "{}"},
                                                {"--key", ""},
                                                {"--clients", "16"},
                                                {"--requests", "48"},
                                                {"--rounds", "3"},
                                                {"--prompt-tokens", "128"},
                                                {"--output-tokens", "128"},
                                                {"--output-spread", "0"},
                                                {"--trace", ""},
                                                {"--rate", "1"},
                                                {"--length-scale", "0.125"},
                                                {"--vocab", "32000"},
                                                {"--seed", "1"},
                                                {"--ttft-limit", "2"},
                                                {"--tpot-limit", "0.2"},
                                                {"--start", ""},
                                                {"--json", ""}};
};

// No two prompts of all rounds begin alike, so that no server finds one in its cache.
std::vector<PlannedRequest> FixedLengths(const Flags& flags, int round) {
  std::mt19937 random(static_cast<uint32_t>(flags.Count("--seed") * 1000 + round));
  std::uniform_int_distribution<int32_t> token(0, static_cast<int32_t>(flags.Count("--vocab")) - 1);
  std::vector<PlannedRequest> requests(flags.Count("--requests"));
  for (PlannedRequest& request : requests) {
    const double spread = flags.Number("--output-spread");
    request.request.num_output = std::max<int64_t>(
        1, std::llround(flags.Number("--output-tokens") *
                        std::uniform_real_distribution<double>(1 - spread, 1 + spread)(random)));
    for (int64_t i = 0; i < flags.Count("--prompt-tokens"); ++i)
      request.request.prompt.push_back(token(random));
  }
  return requests;
}

absl::StatusOr<std::vector<PlannedRequest>> Recorded(const Flags& flags) {
  ASSIGN_OR_RETURN(const std::vector<RecordedRequest> recorded,
                   ReadWorkload(flags.Text("--trace"), flags.Count("--requests")));
  const double span = recorded.back().arrival_s - recorded.front().arrival_s;
  const double mean_gap = span / std::max<double>(1, static_cast<double>(recorded.size() - 1));
  const double stretch = mean_gap > 0 ? 1 / (flags.Number("--rate") * mean_gap) : 1;
  std::vector<PlannedRequest> requests;
  for (const RecordedRequest& one : recorded) {
    PlannedRequest& request = requests.emplace_back();
    request.arrival_s = (one.arrival_s - recorded.front().arrival_s) * stretch;
    request.request.prompt = PromptOf(one, flags.Count("--vocab"), flags.Number("--length-scale"));
    request.request.num_output = std::max<int64_t>(
        1,
        static_cast<int64_t>(static_cast<double>(one.num_output) * flags.Number("--length-scale")));
  }
  return requests;
}

// Of each number, over the rounds.
Json Medians(const std::vector<Json>& rounds) {
  Json out = rounds.back();
  for (auto& [key, value] : out.items()) {
    if (!value.is_number()) continue;
    std::vector<double> values;
    for (const Json& round : rounds) values.push_back(round.value(key, 0.0));
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    value = values[values.size() / 2];
  }
  return out;
}

class Bench {
 public:
  explicit Bench(Flags flags) : flags_(std::move(flags)) {}

  absl::Status Run() {
    RETURN_IF_ERROR(OpenOurs());
    RETURN_IF_ERROR(OpenHttp());
    const int rounds = static_cast<int>(flags_.Count("--rounds"));
    for (int round = 0; round < rounds; ++round) {
      for (auto& [name, target] : targets_) {
        RETURN_IF_ERROR(RunRound(name, *target, round));
      }
    }
    for (const auto& [name, rounds_of] : results_) {
      const Json medians = Medians(rounds_of);
      std::printf("%s, median of %d rounds: %s", name.c_str(), rounds,
                  FormatSummary(medians).c_str());
      report_[name] = {{"median", medians}, {"rounds", rounds_of}};
    }
    PrintRatio();
    const std::string& file = flags_.Text("--json");
    if (file.empty()) return absl::OkStatus();
    return WriteFileAtomically(file, report_.dump(2) + "\n");
  }

 private:
  absl::Status OpenOurs() {
    const std::string& token = flags_.Text("--key");
    if (!flags_.Text("--serve").empty()) {
      ReplicaProcessOptions options;
      options.program = flags_.Text("--program");
      if (options.program.empty())
        options.program = fs::path(ExecutableDir()).parent_path() / "bin" / "oneai-serve";
      options.model = flags_.Text("--serve");
      options.settings_json = flags_.Text("--settings");
      const absl::Time start = absl::Now();
      ASSIGN_OR_RETURN(replica_, ReplicaProcess::Start(options));
      targets_["oneai"] = NewGrpcTarget(replica_->address(), replica_->caller(), "", token);
      if (!flags_.Text("--start").empty()) RETURN_IF_ERROR(FirstToken(start));
    } else if (!flags_.Text("--grpc").empty()) {
      const fs::path tls = flags_.Text("--tls");
      ASSIGN_OR_RETURN(
          const TlsCredentials credentials,
          LoadTlsCredentials({tls / "ca.crt", tls / "client.crt", tls / "client.key"}));
      targets_["oneai"] =
          NewGrpcTarget(flags_.Text("--grpc"), credentials, flags_.Text("--model"), token);
    }
    return absl::OkStatus();
  }

  absl::Status OpenHttp() {
    if (flags_.Text("--http").empty()) return absl::OkStatus();
    HttpTargetOptions options;
    options.url = flags_.Text("--http");
    options.model = flags_.Text("--http-model");
    options.token = flags_.Text("--key");
    options.extra_json = flags_.Text("--extra-json");
    if (!flags_.Text("--http-ca").empty()) {
      ASSIGN_OR_RETURN(options.ca_pem, ReadFile(flags_.Text("--http-ca")));
    }
    ASSIGN_OR_RETURN(targets_["http"], NewHttpTarget(std::move(options)));
    return absl::OkStatus();
  }

  // From exec to the first streamed token of a short prompt.
  absl::Status FirstToken(absl::Time start) {
    LoadRequest request;
    request.num_output = 1;
    for (int32_t i = 0; i < 16; ++i) request.prompt.push_back(i * 31);
    absl::Time first = absl::InfinitePast();
    const absl::StatusOr<int64_t> answered =
        targets_["oneai"]->Stream(request, [&](int64_t) { first = absl::Now(); });
    RETURN_IF_ERROR(answered.status());
    const double first_s = absl::ToDoubleSeconds(first - start);
    std::printf("start: ready after %.3f s, first token over gRPC after %.3f s\n",
                replica_->ready_s(), first_s);
    report_["start"] = {{"ready_s", replica_->ready_s()}, {"first_token_s", first_s}};
    return absl::OkStatus();
  }

  absl::Status RunRound(const std::string& name, LoadTarget& target, int round) {
    std::vector<Exchange> exchanges;
    if (flags_.Text("--trace").empty()) {
      exchanges = RunClosedLoop(target, static_cast<int>(flags_.Count("--clients")),
                                FixedLengths(flags_, round));
    } else {
      ASSIGN_OR_RETURN(const std::vector<PlannedRequest> recorded, Recorded(flags_));
      exchanges = RunOpenLoop(target, recorded);
    }
    const LoadLimits limits = {flags_.Number("--ttft-limit"), flags_.Number("--tpot-limit")};
    results_[name].push_back(Summarize(exchanges, limits));
    std::printf("round %d, %s: %s", round + 1, name.c_str(),
                FormatSummary(results_[name].back()).c_str());
    std::fflush(stdout);
    return absl::OkStatus();
  }

  void PrintRatio() {
    if (targets_.size() < 2) return;
    const auto ratio = [&](const char* key) {
      const double ours = report_["oneai"]["median"].value(key, 0.0);
      const double theirs = report_["http"]["median"].value(key, 0.0);
      return theirs > 0 ? ours / theirs : 0;
    };
    std::printf(
        "oneai / http: %.2fx output tokens/s; %.2f of its ITL p50, %.2f of its ITL p99, "
        "%.2f of its TTFT p50\n",
        ratio("output_throughput"), ratio("median_itl_ms"), ratio("p99_itl_ms"),
        ratio("median_ttft_ms"));
  }

  const Flags flags_;
  std::unique_ptr<ReplicaProcess> replica_;
  std::map<std::string, std::unique_ptr<LoadTarget>> targets_;
  std::map<std::string, std::vector<Json>> results_;
  Json report_;
};

int Main(int argc, char** argv) {
  absl::StatusOr<Flags> flags = Flags::Parse(argc, argv);
  const absl::Status status = flags.ok() ? Bench(*std::move(flags)).Run() : flags.status();
  if (status.ok()) return 0;
  std::fprintf(stderr, "serving_load_bench: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace oneai::serving

int main(int argc, char** argv) { return oneai::serving::Main(argc, argv); }

#include "benchmarks/serving/load_run.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace oneai::serving {
namespace {

using models::Json;

Exchange Send(LoadTarget& target, const LoadRequest& request) {
  Exchange exchange;
  exchange.num_prompt = static_cast<int64_t>(request.prompt.size());
  exchange.pieces.reserve(request.num_output);
  exchange.sent = absl::Now();
  const absl::StatusOr<int64_t> num_tokens =
      target.Stream(request, [&](int64_t) { exchange.pieces.push_back(absl::Now()); });
  exchange.done = absl::Now();
  exchange.status = num_tokens.status();
  exchange.num_tokens = num_tokens.value_or(0);
  return exchange;
}

// The nearest-rank quantile; 0 of nothing.
double Quantile(const std::vector<double>& sorted, double q) {
  if (sorted.empty()) return 0;
  const double rank = q * static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<size_t>(rank + 0.5)];
}

void AddTimes(const char* name, std::vector<double> seconds, Json& out) {
  std::sort(seconds.begin(), seconds.end());
  const double sum = std::accumulate(seconds.begin(), seconds.end(), 0.0);
  const double n = std::max<double>(1, static_cast<double>(seconds.size()));
  out[absl::StrCat("mean_", name, "_ms")] = 1e3 * sum / n;
  out[absl::StrCat("median_", name, "_ms")] = 1e3 * Quantile(seconds, 0.5);
  out[absl::StrCat("p90_", name, "_ms")] = 1e3 * Quantile(seconds, 0.9);
  out[absl::StrCat("p99_", name, "_ms")] = 1e3 * Quantile(seconds, 0.99);
  out[absl::StrCat("max_", name, "_ms")] = seconds.empty() ? 0 : 1e3 * seconds.back();
}

}  // namespace

std::vector<Exchange> RunClosedLoop(LoadTarget& target, int num_clients,
                                    const std::vector<PlannedRequest>& requests) {
  std::vector<Exchange> exchanges(requests.size());
  std::atomic<size_t> next = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < num_clients; ++i) {
    clients.emplace_back([&] {
      for (size_t mine; (mine = next.fetch_add(1)) < requests.size();)
        exchanges[mine] = Send(target, requests[mine].request);
    });
  }
  for (std::thread& client : clients) client.join();
  return exchanges;
}

std::vector<Exchange> RunOpenLoop(LoadTarget& target, const std::vector<PlannedRequest>& requests) {
  std::vector<Exchange> exchanges(requests.size());
  std::vector<std::thread> callers;
  const absl::Time start = absl::Now();
  for (size_t i = 0; i < requests.size(); ++i) {
    absl::SleepFor(start + absl::Seconds(requests[i].arrival_s) - absl::Now());
    callers.emplace_back([&, i] { exchanges[i] = Send(target, requests[i].request); });
  }
  for (std::thread& caller : callers) caller.join();
  return exchanges;
}

Json Summarize(const std::vector<Exchange>& exchanges, const LoadLimits& limits) {
  std::vector<double> ttft, itl, tpot, e2el;
  int64_t num_prompt = 0, num_output = 0, num_failed = 0, num_good = 0, num_pieces = 0;
  absl::Time first = absl::InfiniteFuture(), last = absl::InfinitePast();
  std::string failure;
  for (const Exchange& e : exchanges) {
    first = std::min(first, e.sent);
    last = std::max(last, e.done);
    if (!e.status.ok() || e.pieces.empty()) {
      ++num_failed;
      failure = e.status.ok() ? "an answer without a token" : e.status.ToString();
      continue;
    }
    num_prompt += e.num_prompt;
    num_output += e.num_tokens;
    num_pieces += static_cast<int64_t>(e.pieces.size());
    ttft.push_back(absl::ToDoubleSeconds(e.pieces.front() - e.sent));
    e2el.push_back(absl::ToDoubleSeconds(e.done - e.sent));
    for (size_t i = 1; i < e.pieces.size(); ++i)
      itl.push_back(absl::ToDoubleSeconds(e.pieces[i] - e.pieces[i - 1]));
    const double gaps = static_cast<double>(std::max<int64_t>(1, e.num_tokens - 1));
    tpot.push_back(absl::ToDoubleSeconds(e.pieces.back() - e.pieces.front()) / gaps);
    num_good += ttft.back() <= limits.ttft_s && tpot.back() <= limits.tpot_s ? 1 : 0;
  }
  const double seconds = exchanges.empty() ? 1 : absl::ToDoubleSeconds(last - first);
  const double completed = static_cast<double>(exchanges.size()) - static_cast<double>(num_failed);
  Json out = {
      {"completed", completed},
      {"failed", num_failed},
      {"duration_s", seconds},
      {"request_throughput", completed / seconds},
      {"request_goodput", static_cast<double>(num_good) / seconds},
      {"output_throughput", static_cast<double>(num_output) / seconds},
      {"total_token_throughput", static_cast<double>(num_prompt + num_output) / seconds},
      {"tokens_per_piece",
       num_pieces == 0 ? 0.0 : static_cast<double>(num_output) / static_cast<double>(num_pieces)}};
  if (!failure.empty()) out["last_failure"] = failure;
  AddTimes("ttft", std::move(ttft), out);
  AddTimes("itl", std::move(itl), out);
  AddTimes("tpot", std::move(tpot), out);
  AddTimes("e2el", std::move(e2el), out);
  return out;
}

std::string FormatSummary(const Json& s) {
  const auto number = [&](const std::string& key) { return s.value(key, 0.0); };
  std::string text = absl::StrFormat(
      "%.0f answered, %.0f failed in %.1f s: %.1f output tokens/s, %.1f tokens/s with prompts, "
      "goodput %.2f/s\n",
      number("completed"), number("failed"), number("duration_s"), number("output_throughput"),
      number("total_token_throughput"), number("request_goodput"));
  absl::StrAppendFormat(&text, "%-6s %10s %10s %10s %10s  (ms)\n", "", "median", "p90", "p99",
                        "max");
  for (const char* name : {"ttft", "itl", "tpot"}) {
    absl::StrAppendFormat(
        &text, "%-6s %10.1f %10.1f %10.1f %10.1f\n", name,
        number(absl::StrCat("median_", name, "_ms")), number(absl::StrCat("p90_", name, "_ms")),
        number(absl::StrCat("p99_", name, "_ms")), number(absl::StrCat("max_", name, "_ms")));
  }
  if (s.contains("last_failure"))
    absl::StrAppend(&text, "last failure: ", s.at("last_failure").get<std::string>(), "\n");
  return text;
}

}  // namespace oneai::serving

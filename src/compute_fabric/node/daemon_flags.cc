#include "compute_fabric/node/daemon_flags.h"

#include <signal.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace oneai::fabric {
namespace {

std::atomic<std::atomic<bool>*> g_stop = nullptr;

}  // namespace

absl::StatusOr<PortRange> ParsePorts(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '-');
  PortRange range;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &range.first) ||
      !absl::SimpleAtoi(parts[1], &range.last) || range.first < 1 || range.last > 65'535 ||
      range.first > range.last) {
    return absl::InvalidArgumentError(
        absl::StrCat("--ports ", text, ": expected first-last within 1-65535"));
  }
  return range;
}

absl::Status ParsePairs(const std::string& flag, const std::vector<std::string>& texts,
                        std::map<std::string, std::string>& pairs) {
  for (const std::string& text : texts) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
    if (parts.first.empty() || parts.second.empty())
      return absl::InvalidArgumentError(absl::StrCat(flag, " ", text, ": expected name=value"));
    pairs.insert(parts);
  }
  return absl::OkStatus();
}

void StopOnSignals(std::atomic<bool>* stop) {
  g_stop = stop;
  signal(SIGPIPE, SIG_IGN);
  for (const int signal_number : {SIGTERM, SIGINT})
    signal(signal_number, [](int) { *g_stop.load() = true; });
}

}  // namespace oneai::fabric

#include "compute_fabric/simulation/trace.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"

namespace oneai::fabric::simulation {

void Trace::Write(absl::string_view who, std::string text) {
  std::string line =
      absl::StrFormat("%10.3f s  %-13s %s", absl::ToDoubleSeconds(*now_ - start_), who, text);
  for (const unsigned char c : line) hash_ = (hash_ ^ c) * 1099511628211ull;  // FNV-1a
  if (live_) std::printf("%s\n", line.c_str());
  lines_.push_back(std::move(line));
  if (lines_.size() > kLinesMax) lines_.pop_front();
}

std::string Trace::Tail(const std::vector<std::string>& words, size_t limit) const {
  std::vector<const std::string*> chosen;
  for (auto it = lines_.rbegin(); it != lines_.rend() && chosen.size() < limit; ++it) {
    const bool wanted =
        words.empty() || std::any_of(words.begin(), words.end(),
                                     [&](const auto& w) { return absl::StrContains(*it, w); });
    if (wanted) chosen.push_back(&*it);
  }
  std::string text;
  for (auto it = chosen.rbegin(); it != chosen.rend(); ++it) absl::StrAppend(&text, **it, "\n");
  return text;
}

}  // namespace oneai::fabric::simulation

#include "serving/grammar/grammar_cache.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

// Everything that the result depends on, unambiguously: lengths come before contents.
std::string KeyOf(const GrammarSpec& spec) {
  std::string key =
      absl::StrCat(static_cast<int>(spec.kind), ",", static_cast<int>(spec.whitespace), ",",
                   static_cast<int>(spec.thoughts), ",", spec.text.size(), ":");
  absl::StrAppend(&key, spec.text);
  absl::StrAppend(&key, spec.before.size(), ":", spec.before, spec.after.size(), ":", spec.after);
  for (const std::string& choice : spec.choices) absl::StrAppend(&key, choice.size(), ":", choice);
  return key;
}

}  // namespace

GrammarCache::GrammarCache(std::shared_ptr<const TokenVocabulary> vocabulary, GrammarLimits limits,
                           int64_t num_grammars_max)
    : vocabulary_(std::move(vocabulary)),
      limits_(limits),
      num_grammars_max_(std::max<int64_t>(1, num_grammars_max)) {}

absl::StatusOr<std::shared_ptr<const CompiledGrammar>> GrammarCache::Get(const GrammarSpec& spec) {
  const std::string key = KeyOf(spec);
  {
    absl::MutexLock lock(&mu_);
    if (const auto it = by_key_.find(key); it != by_key_.end()) {
      ++num_hits_;
      entries_.splice(entries_.begin(), entries_, it->second);
      return it->second->second;
    }
    ++num_misses_;
  }
  ASSIGN_OR_RETURN(std::shared_ptr<const CompiledGrammar> compiled,
                   CompiledGrammar::Compile(spec, vocabulary_, limits_));
  absl::MutexLock lock(&mu_);
  if (const auto it = by_key_.find(key); it != by_key_.end()) return it->second->second;
  entries_.emplace_front(key, compiled);
  by_key_[key] = entries_.begin();
  if (static_cast<int64_t>(entries_.size()) > num_grammars_max_) {
    by_key_.erase(entries_.back().first);
    entries_.pop_back();
  }
  return compiled;
}

int64_t GrammarCache::num_hits() const {
  absl::MutexLock lock(&mu_);
  return num_hits_;
}
int64_t GrammarCache::num_misses() const {
  absl::MutexLock lock(&mu_);
  return num_misses_;
}

}  // namespace oneai::serving

// File: serving/grammar/grammar_cache.h
//
// Compiled grammars by content: most requests of an application send the same schema.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "serving/grammar/grammar.h"

namespace oneai::serving {

// Thread-safe. Keeps the `num_grammars_max` grammars that were used last; those in use live on with
// their holders.
class GrammarCache {
 public:
  GrammarCache(std::shared_ptr<const TokenVocabulary> vocabulary, GrammarLimits limits,
               int64_t num_grammars_max);

  // The compiled grammar, from the cache or compiled by the calling thread, without a lock held:
  // two threads that ask for the same new grammar at once both compile it, and one result is kept.
  // Never called on the engine's thread. Errors of CompiledGrammar::Compile, which are not kept.
  absl::StatusOr<std::shared_ptr<const CompiledGrammar>> Get(const GrammarSpec& spec);

  int64_t num_hits() const;
  int64_t num_misses() const;

 private:
  using Entry = std::pair<std::string, std::shared_ptr<const CompiledGrammar>>;

  const std::shared_ptr<const TokenVocabulary> vocabulary_;
  const GrammarLimits limits_;
  const int64_t num_grammars_max_;

  mutable absl::Mutex mu_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mu_);  // most recently used first
  absl::flat_hash_map<std::string, std::list<Entry>::iterator> by_key_ ABSL_GUARDED_BY(mu_);
  int64_t num_hits_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t num_misses_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace oneai::serving

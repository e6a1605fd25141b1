// File: serving/grammar/grammar.h
//
// What an answer must look like, compiled for one model's tokens:
//   JSON schema | regex | choice | EBNF -> expressions -> byte automata per rule -> token masks.
//
// Regular parts become deterministic automata over bytes; rules that refer to each other become
// calls, so that the whole is a pushdown automaton. The tokens that a state allows whatever was
// called before it are computed once and kept as a bit set; the few that leave the rule in the
// middle are checked against the stack at run time. Source: arXiv:2411.15100 (XGrammar), section 3.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "serving/grammar/token_vocabulary.h"

namespace oneai::serving {

// White space between the tokens of JSON. It is always bounded: a model left free to write blanks
// can write them for ever.
enum class JsonWhitespace {
  kCompact,      // none: shortest, and most bytes are forced (jump-ahead)
  kSingleSpace,  // one optional blank after ':' and ','
  kIndented,     // kSingleSpace, or a line break and up to 20 blanks or tabs wherever JSON allows
};

// Thoughts before the answer, of any characters but the tag that ends them, which exactly two line
// breaks follow, as Qwen's templates have it.
enum class Thoughts {
  kNone,       // the answer begins at once
  kMayOpen,    // "<think>", thoughts, "</think>\n\n", then the answer; or the answer at once
  kAreOpened,  // the prompt ended in "<think>": thoughts, "</think>\n\n", then the answer
};

struct GrammarSpec {
  enum class Kind {
    kJsonObject,  // any JSON object (RFC 8259); `text` is not used
    kJsonSchema,  // `text` is a JSON schema: see docs in the folder's README for what is supported
    kRegex,       // `text` must match as a whole; RE2's syntax and meaning, without flags and \b
    kChoice,      // one of `choices`, exactly
    kEbnf,        // `text` is a grammar in GBNF (llama.cpp, xgrammar) that starts at rule "root"
  };
  Kind kind = Kind::kJsonObject;
  std::string text;
  std::vector<std::string> choices;
  JsonWhitespace whitespace = JsonWhitespace::kSingleSpace;  // of kJsonObject and kJsonSchema
  // Exactly this stands before and after what the grammar matches: "<tool_call>\n" and
  // "\n</tool_call>" for a call that must be made.
  std::string before, after;
  Thoughts thoughts = Thoughts::kNone;  // before `before`
};

// Bounds of a compilation and of its result. The defaults compile any schema that people write in
// some milliseconds, and refuse one that explodes in well below a second.
struct GrammarLimits {
  int64_t source_bytes_max = 1 << 18;  // of `text`, and of all `choices` together
  int64_t expressions_max = 200'000;   // nodes of the parsed grammar
  int64_t nfa_states_max = 400'000;    // after repetitions are written out
  int64_t dfa_states_max = 60'000;     // after determinisation, of all rules together
  int64_t steps_max = 20'000'000;      // units of work of the determinisation
  int32_t source_nesting_max = 64;     // brackets in a regex or EBNF, levels of a schema
  int32_t call_depth_max = 200;        // nested calls at run time, hence of nested JSON values
  int64_t mask_bytes_max = 64 << 20;   // memory for token masks; beyond it they are not kept
  // Work on masks in advance, about 4 ns each: enough for some hundred states that allow most of a
  // large vocabulary, so that none is left to the engine's thread.
  int64_t warm_steps_max = 100'000'000;
};

class GrammarAutomaton;  // grammar_automaton.h
class MaskCache;         // mask_cache.h

// Immutable but for its cache of masks, which is synchronised; thread-safe. Shared by all requests
// with the same grammar.
class CompiledGrammar {
 public:
  // Pure. It may take hundreds of milliseconds, so it runs on a request's thread before the request
  // is queued, never on the engine's thread. InvalidArgument naming the place (JSON pointer of a
  // schema, byte offset of a regex or EBNF text), what is wrong or which limit is exceeded, and
  // what to change: for syntax, for keywords that are not supported, for a grammar that matches
  // nothing, and for one that explodes.
  static absl::StatusOr<std::shared_ptr<const CompiledGrammar>> Compile(
      const GrammarSpec& spec, std::shared_ptr<const TokenVocabulary> vocabulary,
      const GrammarLimits& limits);
  ~CompiledGrammar();

  const TokenVocabulary& vocabulary() const { return *vocabulary_; }
  const GrammarAutomaton& automaton() const { return *automaton_; }
  MaskCache& masks() const { return *masks_; }
  // Memory held now, masks included.
  int64_t num_bytes() const;

 private:
  CompiledGrammar() = default;
  std::shared_ptr<const TokenVocabulary> vocabulary_;
  std::unique_ptr<const GrammarAutomaton> automaton_;
  std::unique_ptr<MaskCache> masks_;
};

}  // namespace oneai::serving

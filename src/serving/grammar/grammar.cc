#include "serving/grammar/grammar.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "serving/grammar/automaton_builder.h"
#include "serving/grammar/ebnf_parser.h"
#include "serving/grammar/expression.h"
#include "serving/grammar/json_schema.h"
#include "serving/grammar/mask_cache.h"
#include "serving/grammar/regex_parser.h"

namespace oneai::serving {
namespace {

absl::StatusOr<Grammar> ParseChoices(const std::vector<std::string>& choices) {
  if (choices.empty()) return absl::InvalidArgumentError("the list of choices is empty");
  Grammar grammar;
  std::vector<ExprId> ways;
  for (const std::string& choice : choices) ways.push_back(grammar.pool.Bytes(choice));
  grammar.start = grammar.pool.AddRule("choice");
  const ExprId body = grammar.pool.Alternate(std::move(ways));
  grammar.pool.rule(grammar.start).body = body;
  return grammar;
}

absl::StatusOr<Grammar> ParseRegexGrammar(const std::string& text, const GrammarLimits& limits) {
  Grammar grammar;
  RegexOptions options;
  options.nesting_max = limits.source_nesting_max;
  ASSIGN_OR_RETURN(const ExprId body, ParseRegex(text, options, grammar.pool));
  grammar.start = grammar.pool.AddRule("regular expression");
  grammar.pool.rule(grammar.start).body = body;
  return grammar;
}

absl::StatusOr<Grammar> ParseGrammar(const GrammarSpec& spec, const GrammarLimits& limits) {
  switch (spec.kind) {
    case GrammarSpec::Kind::kJsonObject:
      return JsonObjectGrammar(spec.whitespace);
    case GrammarSpec::Kind::kJsonSchema:
      return ParseJsonSchema(spec.text, spec.whitespace, limits);
    case GrammarSpec::Kind::kRegex:
      return ParseRegexGrammar(spec.text, limits);
    case GrammarSpec::Kind::kChoice:
      return ParseChoices(spec.choices);
    case GrammarSpec::Kind::kEbnf:
      return ParseEbnf(spec.text, limits);
  }
  return absl::InternalError("unknown kind of grammar");
}

// Characters up to the first "</think>", and that: an automaton of as many states as the tag has
// letters. Its '<' is nowhere else in the tag, so that whatever else begins like the tag ends
// before the next '<'.
ExprId UpToThinkEnd(ExpressionPool& pool) {
  static constexpr absl::string_view kRest = "/think>";
  const auto other_than = [&](std::vector<CharRange> chars) {
    return pool.Chars(Complement(MakeCharSet(std::move(chars))));
  };
  std::vector<ExprId> begun, plain = {other_than({{'<', '<'}})};
  for (size_t i = 0; i < kRest.size(); ++i)
    begun.push_back(pool.Bytes(absl::StrCat("<", kRest.substr(0, i))));
  const ExprId any_begun = pool.Repeat(pool.Alternate(begun), 0, Expr::kUnbounded);
  for (size_t i = 0; i < kRest.size(); ++i) {
    const uint32_t next = static_cast<uint32_t>(kRest[i]);
    plain.push_back(pool.Concat({any_begun, begun[i], other_than({{'<', '<'}, {next, next}})}));
  }
  return pool.Concat({pool.Repeat(pool.Alternate(std::move(plain)), 0, Expr::kUnbounded), any_begun,
                      pool.Bytes("<"), pool.Bytes(kRest)});
}

ExprId ThoughtsBefore(Thoughts thoughts, ExpressionPool& pool) {
  if (thoughts == Thoughts::kNone) return pool.Bytes("");
  const ExprId opened = pool.Concat({UpToThinkEnd(pool), pool.Bytes("\n\n")});
  if (thoughts == Thoughts::kAreOpened) return opened;
  return pool.Optional(pool.Concat({pool.Bytes("<think>"), opened}));
}

void Surround(const GrammarSpec& spec, Grammar& grammar) {
  if (spec.before.empty() && spec.after.empty() && spec.thoughts == Thoughts::kNone) return;
  ExpressionPool& pool = grammar.pool;
  const ExprId body = pool.Concat({ThoughtsBefore(spec.thoughts, pool), pool.Bytes(spec.before),
                                   pool.Call(grammar.start), pool.Bytes(spec.after)});
  grammar.start = pool.AddRule("surrounded");
  pool.rule(grammar.start).body = body;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const CompiledGrammar>> CompiledGrammar::Compile(
    const GrammarSpec& spec, std::shared_ptr<const TokenVocabulary> vocabulary,
    const GrammarLimits& limits) {
  int64_t num_bytes =
      static_cast<int64_t>(spec.text.size() + spec.before.size() + spec.after.size());
  for (const std::string& choice : spec.choices) num_bytes += static_cast<int64_t>(choice.size());
  if (num_bytes > limits.source_bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat("the grammar has ", num_bytes,
                                                   " bytes, of at most ", limits.source_bytes_max));
  }
  ASSIGN_OR_RETURN(Grammar grammar, ParseGrammar(spec, limits));
  Surround(spec, grammar);
  std::shared_ptr<CompiledGrammar> compiled(new CompiledGrammar);
  ASSIGN_OR_RETURN(compiled->automaton_,
                   BuildAutomaton(grammar, limits, vocabulary->token_bytes_max()));
  compiled->vocabulary_ = std::move(vocabulary);
  compiled->masks_ = std::make_unique<MaskCache>(*compiled->automaton_, *compiled->vocabulary_,
                                                 limits.mask_bytes_max);
  compiled->masks_->Warm(limits.warm_steps_max);
  return compiled;
}

CompiledGrammar::~CompiledGrammar() = default;

int64_t CompiledGrammar::num_bytes() const { return automaton_->num_bytes() + masks_->num_bytes(); }

}  // namespace oneai::serving

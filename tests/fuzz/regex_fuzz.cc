#include <cstdio>

#include "re2/re2.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/grammar_walk.h"

using namespace oneai::serving;  // NOLINT: a test's main namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string expression(reinterpret_cast<const char*>(data), size);
  const std::string text =
      WalkGrammar({.kind = GrammarSpec::Kind::kRegex, .text = expression}, SeedOf(data, size));
  if (text.empty()) return 0;
  // RE2 has the last word on the syntax that both have.
  re2::RE2::Options options;
  options.set_log_errors(false);
  const re2::RE2 re2(expression, options);
  const bool is_ours =
      expression.find("\\p") != std::string::npos || expression.find("\\P") != std::string::npos;
  if (re2.ok() && !is_ours && !re2::RE2::FullMatch(text, re2)) {
    std::fprintf(stderr, "'%s' gave '%s'\n", expression.c_str(), text.c_str());
    ONEAI_FUZZ_CHECK(false);
  }
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  FuzzSeeds seeds;
  seeds.inputs = {"(a|b)*abb{2,3}",     "[^a-z\\d]+?(?:x|y|)", "\\d{4}-\\d\\d", "^(日|本)+$",
                  "(?P<n>a.b)\\.\\x41", "[[:alpha:]_]\\w*",    "\\s?\\S\\W"};
  seeds.fragments = {"(",      ")",           "|", "*",       "+",      "?",   "{1,3}",
                     "{2}",    "[",           "]", "[^",      "a-z",    "\\d", "\\w",
                     "\\s",    "\\x{1F600}",  "^", "$",       ".",      "(?:", "(?P<a>",
                     "\\p{L}", "[[:digit:]]", "-", "\\u00e9", "{1000}", "\\\\"};
  return seeds;
}

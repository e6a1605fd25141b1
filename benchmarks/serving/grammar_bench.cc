// What a grammar costs: compiling it, and per step the mask of allowed tokens and the move by one.
//   grammar_bench [VOCAB_JSON]
// VOCAB_JSON: a byte-level vocabulary such as Qwen's (151,643 tokens); without one, a made-up
// vocabulary of the same size and lengths.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "models/json/json_reader.h"
#include "models/tokenizer/byte_alphabet.h"
#include "serving/grammar/grammar.h"
#include "serving/grammar/grammar_automaton.h"
#include "serving/grammar/grammar_matcher.h"

namespace oneai::serving {
namespace {

constexpr int64_t kNumTokens = 151'936;
using Clock = std::chrono::steady_clock;

double Micros(Clock::duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

std::vector<std::string> ReadVocabulary(const char* path) {
  const auto json = models::ReadJsonFile(path, {.bytes_max = 64 << 20, .values_max = 2'000'000});
  if (!json.ok()) {
    std::fprintf(stderr, "%s\n", std::string(json.status().message()).c_str());
    std::exit(1);
  }
  std::vector<std::string> tokens(kNumTokens);
  for (const auto& [spelled, id] : json->items()) {
    if (id.is_number_integer() && id.get<int64_t>() < kNumTokens)
      tokens[id.get<int64_t>()] = models::UnspellBytes(spelled).value_or("");
  }
  return tokens;
}

std::vector<std::string> MakeVocabulary() {
  std::mt19937_64 random(1);
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  const std::string letters = "etaoinshrdlucmfwypvbgkjqxz    \n\".,:;{}[]()<>=_-/0123456789ETAOIN";
  while (static_cast<int64_t>(tokens.size()) < kNumTokens - 293) {
    std::string token(random() % 2 == 0 ? " " : "");
    for (size_t n = 2 + random() % 9; n > 0; --n)
      token += letters[random() % (random() % 8 == 0 ? letters.size() : 26)];
    tokens.push_back(std::move(token));
  }
  tokens.resize(kNumTokens);
  return tokens;
}

// Longest match first: close enough to what a model writes.
std::vector<int32_t> Tokenise(const TokenVocabulary& vocabulary, std::string_view text) {
  std::vector<int32_t> tokens;
  const auto trie = vocabulary.trie();
  while (!text.empty()) {
    size_t depth = 0;
    int32_t token = -1, node = 0;
    size_t length = 0;
    while (node < static_cast<int32_t>(trie.size()) && trie[node].depth == depth + 1 &&
           depth < text.size()) {
      if (trie[node].byte != static_cast<uint8_t>(text[depth])) {
        node = trie[node].skip;
        continue;
      }
      ++depth;
      if (trie[node].token >= 0) {
        token = trie[node].token;
        length = depth;
      }
      ++node;
    }
    if (token < 0) break;
    tokens.push_back(token);
    text.remove_prefix(length);
  }
  return tokens;
}

struct Work {
  const char* name;
  GrammarSpec spec;
  std::string text;
};

std::vector<Work> Works() {
  const std::string person =
      R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0,"maximum":150},)"
      R"("email":{"type":"string","format":"email"},"tags":{"type":"array","items":{"type":"string"},"maxItems":8},)"
      R"("address":{"type":"object","properties":{"street":{"type":"string"},"city":{"type":"string"},)"
      R"("zip":{"type":"string","pattern":"^[0-9]{5}$"}},"required":["street","city"]},)"
      R"("role":{"enum":["admin","editor","viewer"]},"score":{"type":"number","minimum":0,"maximum":1}},)"
      R"("required":["name","age","role"]})";
  const std::string person_text =
      R"({"name": "Ada Lovelace of the Analytical Engine", "age": 36, "email": "ada.l@example.com", "tags": )"
      R"(["mathematics", "first programmer", "poetical science", "計算機"], "address": {"street": "12 St James's )"
      R"(Square, on the \"corner\"", "city": "London", "zip": "12345"}, "role": "admin", "score": 0.973})";
  std::string big = R"({"type":"object","properties":{)", big_text = "{";
  for (int i = 0; i < 100; ++i) {
    big +=
        (i > 0 ? ",\"field_" : "\"field_") + std::to_string(i) +
        R"(":{"type":"object","properties":{"value":{"type":"string"},"count":{"type":"integer"}}})";
    if (i % 10 == 0)
      big_text += (i > 0 ? ", \"field_" : "\"field_") + std::to_string(i) +
                  R"(": {"value": "some text here", "count": 12})";
  }
  big += "}}";
  big_text += "}";
  return {
      {"schema: person", {.kind = GrammarSpec::Kind::kJsonSchema, .text = person}, person_text},
      {"schema: 100 optional objects",
       {.kind = GrammarSpec::Kind::kJsonSchema, .text = big},
       big_text},
      {"any JSON object", {.kind = GrammarSpec::Kind::kJsonObject}, person_text},
      {"schema: string of at most 1000",
       {.kind = GrammarSpec::Kind::kJsonSchema, .text = R"({"type":"string","maxLength":1000})"},
       "\"" +
           [] {
             std::string t;
             while (t.size() < 990) t += "hello out there ";
             t.resize(980);
             return t;
           }() +
           "\""},
      {"regex: date and words",
       {.kind = GrammarSpec::Kind::kRegex, .text = R"(\d{4}-\d{2}-\d{2}: .+ \((?:ok|failed)\))"},
       "2024-05-06: the run of the whole night (ok)"},
      {"EBNF: expressions",
       {.kind = GrammarSpec::Kind::kEbnf,
        .text = "root ::= stmt+\nstmt ::= name \" = \" expr \"\\n\"\nexpr ::= term ((\" + \" | \" "
                "* \") term)*\n"
                "term ::= name | num | \"(\" expr \")\" | call\ncall ::= name \"(\" (expr (\", \" "
                "expr)*)? \")\"\n"
                "name ::= [a-z_]+\nnum ::= [0-9]+\n"},
       "total = price * (count + 12)\nresult = compute(total, maximum(a, b), 7) + offset\n"},
  };
}

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(q * static_cast<double>(values.size())))];
}

void Run(const Work& work, const std::shared_ptr<const TokenVocabulary>& vocabulary) {
  const auto begin = Clock::now();
  const auto grammar = CompiledGrammar::Compile(work.spec, vocabulary, {});
  const double compile_ms = Micros(Clock::now() - begin) / 1000;
  if (!grammar.ok()) {
    std::printf("%s: %s\n", work.name, std::string(grammar.status().message()).c_str());
    return;
  }
  const std::vector<int32_t> tokens = Tokenise(*vocabulary, work.text);
  std::vector<uint64_t> mask(vocabulary->num_mask_words());
  for (const char* pass : {"first", "again"}) {
    std::vector<double> fill, accept;
    for (int round = 0; round < (pass[0] == 'f' ? 1 : 5); ++round) {
      GrammarMatcher matcher(*grammar);
      for (int32_t t : tokens) {
        const auto t0 = Clock::now();
        matcher.FillMask(absl::MakeSpan(mask));
        const auto t1 = Clock::now();
        const bool ok = matcher.Accept(t);
        const auto t2 = Clock::now();
        if (!ok || (mask[t / 64] >> (t % 64) & 1) == 0) {
          std::printf("%s: token %d is not allowed\n", work.name, t);
          return;
        }
        fill.push_back(Micros(t1 - t0));
        accept.push_back(Micros(t2 - t1));
      }
    }
    double sum = 0;
    for (size_t i = 0; i < fill.size(); ++i) sum += fill[i] + accept[i];
    const double mean = sum / static_cast<double>(fill.size());
    std::printf("%-32s %-5s %5zu %9.1f %8lld %8.1f %8.1f %9.1f %8.2f %9.3f%% %8.3f%% %7.1f\n",
                work.name, pass, tokens.size(), compile_ms,
                static_cast<long long>((*grammar)->automaton().num_states()), Quantile(fill, 0.5),
                Quantile(fill, 0.99), Quantile(fill, 1), Quantile(accept, 0.5), mean * 46 / 1e4,
                mean * 300 / 1e4, static_cast<double>((*grammar)->num_bytes()) / (1 << 20));
  }
}

}  // namespace
}  // namespace oneai::serving

int main(int argc, char** argv) {
  using namespace oneai::serving;  // NOLINT: main
  std::vector<std::string> tokens = argc > 1 ? ReadVocabulary(argv[1]) : MakeVocabulary();
  const auto begin = Clock::now();
  const auto vocabulary = TokenVocabulary::FromBytes(std::move(tokens), {kNumTokens - 1});
  std::printf("vocabulary: %lld tokens, %zu trie nodes, longest %lld bytes, built in %.0f ms\n",
              static_cast<long long>((*vocabulary)->num_tokens()), (*vocabulary)->trie().size(),
              static_cast<long long>((*vocabulary)->token_bytes_max()),
              Micros(Clock::now() - begin) / 1000);
  std::printf("%-32s %-5s %5s %9s %8s %8s %8s %9s %8s %10s %9s %7s\n", "", "pass", "steps",
              "compile ms", "states", "p50 us", "p99 us", "max us", "accept", "at 46/s", "at 300/s",
              "MiB");
  for (const Work& work : Works()) Run(work, *vocabulary);
  return 0;
}

// Prints texts that grammars of JSON schemas gave, one JSON line {"schema": ..., "text": ...} each,
// for validate_samples.mjs to check with a validator that we did not write.
//   grammar_print_samples SCHEMAS_JSONL NUM_TEXTS_EACH
#include <cstdio>
#include <fstream>
#include <string>

#include "nlohmann/json.hpp"
#include "tests/serving/grammar/grammar_testing.h"

int main(int argc, char** argv) {
  using namespace oneai::serving;  // NOLINT: main
  if (argc != 3) return 2;
  std::mt19937_64 random(20250101);
  std::ifstream schemas(argv[1]);
  int num_printed = 0;
  for (std::string line; std::getline(schemas, line);) {
    if (line.empty()) continue;
    const auto space = static_cast<JsonWhitespace>(num_printed % 3);
    const auto grammar = CompileSchema(line, space);
    if (!grammar.ok()) {
      std::fprintf(stderr, "%s\n%s\n", line.c_str(),
                   std::string(grammar.status().message()).c_str());
      return 1;
    }
    for (int i = 0; i < std::atoi(argv[2]); ++i) {
      const std::string text = RandomText(*grammar, random, 8 + i);
      if (text.empty()) continue;
      ++num_printed;
      std::printf("%s\n", nlohmann::json({{"schema", line}, {"text", text}}).dump().c_str());
    }
  }
  return num_printed > 0 ? 0 : 1;
}

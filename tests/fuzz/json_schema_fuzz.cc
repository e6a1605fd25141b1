#include "nlohmann/json.hpp"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/grammar_walk.h"

using namespace oneai::serving;  // NOLINT: a test's main namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const uint64_t seed = SeedOf(data, size);
  GrammarSpec spec = {.kind = GrammarSpec::Kind::kJsonSchema,
                      .text = std::string(reinterpret_cast<const char*>(data), size)};
  spec.whitespace = static_cast<JsonWhitespace>(seed % 3);
  const std::string text = WalkGrammar(spec, seed);
  ONEAI_FUZZ_CHECK(text.empty() || nlohmann::json::accept(text));
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  FuzzSeeds seeds;
  seeds.inputs = {
      R"({"type":"object","properties":{"a":{"type":"integer","minimum":-3,"exclusiveMaximum":12},"b":{"type":"string","maxLength":4}},"required":["b"],"additionalProperties":{"type":"null"}})",
      R"({"$ref":"#/$defs/n","$defs":{"n":{"anyOf":[{"type":"null"},{"type":"array","items":{"$ref":"#/$defs/n"}}]}}})",
      R"({"allOf":[{"type":"object","properties":{"a":true},"required":["a"]},{"$ref":"#/definitions/x"}],"definitions":{"x":{"properties":{"a":{"type":"number","minimum":0.5,"maximum":1.25}}}}})",
      R"({"type":"array","prefixItems":[{"const":1},{"enum":["x",null,{"k":[true]}]}],"items":{"type":"boolean"},"minItems":1,"maxItems":4})",
      R"({"oneOf":[{"type":"string","pattern":"^[a-c]+\\d?$"},{"type":"string","format":"date"},{"type":["integer","null"]}]})",
  };
  seeds.fragments = {"\"type\":",
                     "\"object\"",
                     "\"properties\":{",
                     "\"required\":[",
                     "\"items\":",
                     "\"anyOf\":[",
                     "\"allOf\":[",
                     "\"$ref\":\"#\"",
                     "\"$defs\":{",
                     "\"enum\":[",
                     "\"const\":",
                     "\"minimum\":",
                     "\"maximum\":",
                     "\"maxLength\":",
                     "\"minItems\":",
                     "\"maxItems\":",
                     "\"pattern\":\"",
                     "\"format\":\"uuid\"",
                     "\"additionalProperties\":",
                     "1e300",
                     "-1e-300",
                     "99999999999999999999",
                     "0.1",
                     "false",
                     "true",
                     "{}",
                     "[]",
                     "},",
                     "\"#/$defs/n\"",
                     "\"$ref\":\"#n\"",
                     "\"$anchor\":\"n\"",
                     "\"$id\":\"r\"",
                     "\"oneOf\":[",
                     "\"not\":{",
                     "\"contains\":",
                     "\"minContains\":",
                     "\"maxContains\":",
                     "\\u0000",
                     "\"a~1b\""};
  return seeds;
}

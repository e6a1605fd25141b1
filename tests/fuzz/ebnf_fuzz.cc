#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/grammar_walk.h"

using namespace oneai::serving;  // NOLINT: a test's main namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  WalkGrammar({.kind = GrammarSpec::Kind::kEbnf, .text = text}, SeedOf(data, size));
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  FuzzSeeds seeds;
  seeds.inputs = {
      "root ::= expr\nexpr ::= term ((\"+\" | \"-\") term)*\nterm ::= [0-9]+ | \"(\" expr \")\" # "
      "c\n",
      "root ::= root \"a\" | \"b\"", "root ::= \"a\" root \"b\" | \"\"",
      "root ::= s s\ns ::= t* | \"(\" s t \")\"\nt ::= [^x-z]{1,2} 'q'? /* c */ ;",
      "root ::= \"{\" pair (\",\" pair)* \"}\"\npair ::= str \":\" (str | root)\nstr ::= \"\\\"\" "
      "[^\"\\\\]* \"\\\"\""};
  seeds.fragments = {" ::= ",  "\nroot ::= ", "|",           "(",     ")",        "*",     "+",
                     "?",      "{2,3}",       "{0,}",        "[a-z]", "[^\\x00]", "\"x\"", "'y'",
                     " root ", " s ",         " t ",         ".",     "#",        "/*",    "*/",
                     ";",      "\\u00e9",     "\\U0001F600", "\"\""};
  return seeds;
}

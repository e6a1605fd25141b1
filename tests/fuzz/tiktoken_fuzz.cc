#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/tokenizer_files.h"
#include "tests/fuzz/fuzz_target.h"

using namespace oneai::models;  // NOLINT: a test's main namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto spec = ParseTiktoken({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!spec.ok()) return 0;
  const auto tokenizer = Tokenizer::Create(*std::move(spec));
  if (!tokenizer.ok()) return 0;
  for (const TokenId id :
       (*tokenizer)->Encode("a ab <|im_end|> \xE6\x97\xA5\n", SpecialTokens::kParse)) {
    ONEAI_FUZZ_CHECK(id >= 0 && id < (*tokenizer)->vocab_size());
    (void)(*tokenizer)->TokenBytes(id);
  }
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  FuzzSeeds seeds;
  std::string bytes;  // all 256, as a real file begins
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int b = 0; b < 256; ++b) {
    bytes += {kAlphabet[b >> 2], kAlphabet[(b & 3) << 4], '=', '='};
    bytes += " " + std::to_string(b) + "\n";
  }
  seeds.inputs = {"YQ== 0\nYg== 1\nYWI= 2\n", bytes, bytes + "YWI= 256\nYWJj 257\n"};
  seeds.fragments = {"YWI= ", "YQ==",       "5pel", "\n",    "\r\n",       " ",  "0",
                     "-1",    "2147483648", "====", "AAAA ", "4294967296", "_-", "/+8= 3"};
  return seeds;
}

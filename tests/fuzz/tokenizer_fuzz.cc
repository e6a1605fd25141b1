#include "absl/strings/str_cat.h"
#include "models/tokenizer/bpe_trainer.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/tokenizer_files.h"
#include "models/tokenizer/unicode_text.h"
#include "tests/fuzz/fuzz_target.h"

using namespace oneai::models;  // NOLINT: a test's main namespace

namespace {

const TokenizerSpec& TrainedSpec() {
  static const TokenizerSpec* const spec = [] {
    const absl::string_view documents[] = {
        "low lower lowest new newer newest wide wider widest 低い 高い"};
    return new TokenizerSpec(*TrainBpe(documents, {.vocab_size = 280}));
  }();
  return *spec;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  // As text: nothing is lost but what NFC changes, and streaming agrees with decoding at once.
  static const Tokenizer& fixed = *Tokenizer::Create(TrainedSpec())->release();
  const std::vector<TokenId> ids = fixed.Encode(text, SpecialTokens::kAsText);
  std::string bytes;
  for (TokenId id : ids) absl::StrAppend(&bytes, fixed.TokenBytes(id));
  ONEAI_FUZZ_CHECK(bytes == ToNfc(text));
  StreamDecoder decoder(fixed, SpecialText::kKeep);
  std::string streamed;
  for (TokenId id : fixed.Encode(text, SpecialTokens::kParse)) streamed += decoder.Push(id);
  streamed += decoder.Finish();
  ONEAI_FUZZ_CHECK(streamed == ReplaceIllFormed(streamed));

  // As files.
  if (auto spec = ParseTokenizerJson(text, "fuzz"); spec.ok()) {
    if (auto tokenizer = Tokenizer::Create(*std::move(spec)); tokenizer.ok()) {
      const std::vector<TokenId> out =
          (*tokenizer)->Encode("a <|x|> lowest 123\n", SpecialTokens::kParse);
      for (TokenId id : out) ONEAI_FUZZ_CHECK(id >= 0 && id < (*tokenizer)->vocab_size());
    }
  }
  (void)ParseTokenizerConfig(text, "fuzz").ok();
  if (auto spec = ParseTiktoken(text, "fuzz"); spec.ok()) (void)Tokenizer::Create(*spec).ok();
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  FuzzSeeds seeds;
  seeds.inputs = {ToTokenizerJson(TrainedSpec()),
                  ToTokenizerConfigJson(MakeTokenizerConfig(TrainedSpec(), "{{ x }}", 10)),
                  "YQ== 0\nYg== 1\nYWI= 2\n",
                  "plain text, e\xCC\x81 \xF0\x9F\xA6\x99 lowest <|im_end|> 12\r\n  "};
  seeds.fragments = {"\"merges\":[\"l o\"]", "null",          "-1",       "99999999999",
                     "\"Sequence\"",         "\"ByteLevel\"", "[]",       "{}",
                     "\"lstrip\": true",     "\xF0\x9F",      "\xCC\x81", "\xED\xA0\x80",
                     "\xE3\x80\x80",         "'LL",           "\n",       "<|im_end|>"};
  return seeds;
}

// Text to tokens and back, in MB of UTF-8 a second on one core:
//   models_tokenizer_bench MODEL_FOLDER TEXT_FILE...
// "first" is a tokenizer that has seen nothing yet, as in a process that reads one document; "again"
// is one that serves, whose cache of words is warm. tokens_hash lets another implementation show that
// it found the same tokens (64-bit FNV-1a over the ids as little-endian int32).
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "benchmarks/kernels/stopwatch.h"
#include "models/tokenizer/tokenizer.h"

namespace {

using oneai::models::SpecialText;
using oneai::models::SpecialTokens;
using oneai::models::TokenId;
using oneai::models::Tokenizer;

constexpr int kRepetitions = 5;

uint64_t Hash(const std::vector<TokenId>& ids) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const TokenId id : ids) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash = (hash ^ ((static_cast<uint32_t>(id) >> shift) & 0xff)) * 0x100000001b3;
    }
  }
  return hash;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: models_tokenizer_bench MODEL_FOLDER TEXT_FILE...\n");
    return 2;
  }
  std::printf("%-28s %8s %10s %10s %10s %10s  %s\n", "text", "MB", "tokens", "first", "again",
              "decode", "tokens_hash");
  for (int i = 2; i < argc; ++i) {
    // A new one for each text, so that "first" is that.
    absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Load(argv[1]);
    if (!tokenizer.ok()) {
      std::fprintf(stderr, "%s\n", tokenizer.status().ToString().c_str());
      return 1;
    }
    std::ifstream file(argv[i], std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    std::vector<TokenId> ids;
    const auto encode = [&] { ids = (*tokenizer)->Encode(text, SpecialTokens::kAsText); };
    const double first = oneai::kernels::BestSeconds(1, encode);
    const double again = oneai::kernels::BestSeconds(kRepetitions, encode);
    std::string decoded;
    const double decode = oneai::kernels::BestSeconds(
        kRepetitions, [&] { decoded = (*tokenizer)->Decode(ids, SpecialText::kKeep); });
    const double megabytes = static_cast<double>(text.size()) / 1e6;
    const std::string name = argv[i];
    std::printf("%-28s %8.2f %10zu %10.1f %10.1f %10.1f  %016llx\n",
                name.substr(name.rfind('/') + 1).c_str(), megabytes, ids.size(), megabytes / first,
                megabytes / again, megabytes / decode,
                static_cast<unsigned long long>(Hash(ids)));
  }
  return 0;
}

// Replays tests/fuzz/corpus/<target>, the seeds, and seeded mutations of both. ONEAI_FUZZ_RUNS sets
// how many mutations; the default keeps the test short.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "gtest/gtest.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/testing/paths.h"

namespace {

constexpr int kDefaultRuns = 4000;
constexpr size_t kInputBytesMax = 1 << 16;

// One random change of `input`.
void Mutate(const FuzzSeeds& seeds, std::mt19937_64& random, std::string& input) {
  auto below = [&](size_t n) { return n == 0 ? 0 : static_cast<size_t>(random() % n); };
  const size_t at = below(input.size() + 1),
               span = below(std::min<size_t>(input.size() - at, 32) + 1);
  switch (below(8)) {
    case 0:  // flip a bit
      if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
      break;
    case 1:  // any byte
      if (at < input.size()) input[at] = static_cast<char>(random());
      break;
    case 2:
      input.erase(at, span);
      break;
    case 3:  // repeat a piece
      input.insert(at, input.substr(at, span));
      break;
    case 4:
      input.resize(at);
      break;
    case 5: {  // continue with another seed
      const std::string& other = seeds.inputs[below(seeds.inputs.size())];
      input.replace(at, std::string::npos, other.substr(below(other.size() + 1)));
      break;
    }
    default:
      if (!seeds.fragments.empty())
        input.replace(at, below(3) == 0 ? span : 0, seeds.fragments[below(seeds.fragments.size())]);
  }
  if (input.size() > kInputBytesMax) input.resize(kInputBytesMax);
}

// What libFuzzer found: inputs that reach far, and those that once broke something. By name, so
// that mutations are the same everywhere.
void AppendCorpus(FuzzSeeds& seeds) {
  const std::filesystem::path folder =
      oneai::testing::DataDir().parent_path() / "fuzz" / "corpus" / ONEAI_FUZZ_TARGET;
  if (!std::filesystem::is_directory(folder)) return;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry);
  std::sort(files.begin(), files.end());
  for (const std::filesystem::path& path : files) {
    std::ifstream file(path, std::ios::binary);
    seeds.inputs.emplace_back(std::istreambuf_iterator<char>(file),
                              std::istreambuf_iterator<char>());
  }
}

TEST(FuzzTest, SurvivesSeedsAndMutations) {
  FuzzSeeds seeds = MakeFuzzSeeds();
  AppendCorpus(seeds);
  ASSERT_FALSE(seeds.inputs.empty());
  auto run = [](const std::string& input) {
    // A copy of exactly the size, so that a sanitizer sees a read past the end.
    const std::vector<uint8_t> bytes(input.begin(), input.end());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  };
  for (const std::string& input : seeds.inputs) run(input);
  run("");
  const char* runs_text = std::getenv("ONEAI_FUZZ_RUNS");
  const int runs = runs_text != nullptr ? std::atoi(runs_text) : kDefaultRuns;
  std::mt19937_64 random(20240229);
  for (int i = 0; i < runs; ++i) {
    std::string input = seeds.inputs[random() % seeds.inputs.size()];
    for (size_t n = 1 + random() % 5; n > 0; --n) Mutate(seeds, random, input);
    run(input);
  }
}

}  // namespace

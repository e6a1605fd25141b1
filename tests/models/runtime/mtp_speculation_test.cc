// Greedy decoding of a hybrid model with guesses of its own draft head, as an engine does it:
// draft, verify several tokens in one step, keep the state within the chunk, go on from the last
// right one. The answer must be that of the reference implementation without speculation, token for
// token.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/sampling/sampling.h"
#include "models/runtime/cpu_model.h"
#include "models/safetensors/checkpoint.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

constexpr int64_t kBlockTokens = 4, kBlocks = 24;

class Speculator {
 public:
  Speculator(CpuModel& model, PagedKvCache& cache, RecurrentState& state, int64_t num_drafts)
      : model_(model), memory_(cache, &state), num_drafts_(num_drafts), table_(kBlocks) {
    std::iota(table_.begin(), table_.end(), 0);
    for (int32_t slot = 1; slot <= num_drafts; ++slot) snapshots_.push_back(slot);
  }

  // Runs the prompt; the first token of the answer is pending then.
  void Prefill(const std::vector<int32_t>& prompt) {
    Step(prompt, 1, {});
    std::vector<int32_t> next(prompt.begin() + 1, prompt.end());
    pending_ = Best(0);
    next.push_back(pending_);
    num_computed_ = static_cast<int64_t>(prompt.size());
    LetHeadRead(next, 0, output_.hidden);
  }

  // Guesses, verifies, and returns the tokens that are now certain. Where `told` has a token it is
  // the guess instead of the head's.
  std::vector<int32_t> Advance(const std::vector<int32_t>& told) {
    std::vector<int32_t> tokens = {pending_};
    for (int64_t i = 0; i < num_drafts_; ++i) {
      const int32_t guess = static_cast<size_t>(i) < told.size() ? told[i] : guess_;
      tokens.push_back(guess);
      const std::vector<float> state = guess_hidden_;
      if (i + 1 < num_drafts_) LetHeadRead({guess}, num_computed_ + i, state);
    }
    Step(tokens, num_drafts_ + 1, snapshots_);
    size_t right = 0;  // guesses that hold
    while (right < snapshots_.size() && Best(right) == tokens[right + 1]) ++right;
    std::vector<int32_t> certain(tokens.begin(), tokens.begin() + right + 1);
    pending_ = Best(right);
    if (right < snapshots_.size()) std::swap(slot_, snapshots_[right]);
    // The head reads the certain positions again, from the model's own states.
    std::vector<int32_t> next(certain.begin() + 1, certain.end());
    next.push_back(pending_);
    const int64_t first = num_computed_;
    num_computed_ += static_cast<int64_t>(certain.size());
    LetHeadRead(next, first, output_.hidden);
    return certain;
  }

 private:
  void Step(absl::Span<const int32_t> tokens, int64_t rows, absl::Span<const int32_t> snapshots) {
    const SequenceChunk chunk{.tokens = tokens,
                              .start_position = num_computed_,
                              .block_table = table_,
                              .num_logit_rows = rows,
                              .state_slot = slot_,
                              .state_snapshots = snapshots,
                              .num_hidden_rows = kAllRows};
    ASSERT_OK(model_.Step({&chunk, 1}, memory_, output_));
  }

  // Sets guess_, the head's guess after `next`, of which next[i] follows position first + i.
  void LetHeadRead(const std::vector<int32_t>& next, int64_t first,
                   const std::vector<float>& hidden) {
    const size_t elements = next.size() * static_cast<size_t>(model_.config().hidden_size);
    const DraftChunk chunk{.next_tokens = next,
                           .hidden = absl::MakeConstSpan(hidden).first(elements),
                           .start_position = first,
                           .block_table = table_};
    StepOutput output;
    ASSERT_OK(model_.Draft({&chunk, 1}, memory_.cache, output));
    guess_ = kernels::ArgMax(output.logits.data(), model_.output_dim());
    guess_hidden_ = output.hidden;
  }

  int32_t Best(size_t row) const {
    return kernels::ArgMax(output_.logits.data() + row * model_.output_dim(), model_.output_dim());
  }

  CpuModel& model_;
  StepMemory memory_;
  const int64_t num_drafts_;
  std::vector<int32_t> table_, snapshots_;
  int32_t slot_ = 0, pending_ = 0, guess_ = 0;
  int64_t num_computed_ = 0;
  std::vector<float> guess_hidden_;
  StepOutput output_;
};

// A tensor of 64-bit ids as token ids.
std::vector<int32_t> Ids(const Checkpoint& golden, const std::string& name) {
  const TensorView* tensor = golden.Find(name);
  if (tensor == nullptr) return {};
  std::vector<int64_t> wide(tensor->data.size() / sizeof(int64_t));
  std::memcpy(wide.data(), tensor->data.data(), tensor->data.size());
  return {wide.begin(), wide.end()};
}

class MtpSpeculationTest : public ::testing::TestWithParam<int64_t> {};

TEST_P(MtpSpeculationTest, GreedyAnswersStayTheReference) {
  const std::filesystem::path folder = oneai::testing::DataDir() / "golden" / "qwen3_next";
  ASSERT_OK_AND_ASSIGN(const Checkpoint golden,
                       Checkpoint::OpenFile((folder / "golden.safetensors").string()));
  ASSERT_OK_AND_ASSIGN(
      auto model,
      CpuModel::Load(folder, {.dtype = ComputeDtype::kF32, .num_threads = 1, .draft_head = true}));
  ASSERT_OK_AND_ASSIGN(PagedKvCache cache, PagedKvCache::Create(model->config(), kBlocks,
                                                                kBlockTokens, ComputeDtype::kF32));
  ASSERT_OK_AND_ASSIGN(RecurrentState state,
                       RecurrentState::Create(model->config(), GetParam() + 1));
  for (const std::string prompt : {"p0", "p1", "p2"}) {
    const std::vector<int32_t> expected = Ids(golden, prompt + ".greedy");
    ASSERT_EQ(expected.size(), 32u);
    Speculator speculator(*model, cache, state, GetParam());
    speculator.Prefill(Ids(golden, prompt + ".input_ids"));
    std::vector<int32_t> answer;
    // The head of random weights guesses wrong; every so often the right tokens are put before its
    // own guesses, so that all numbers of accepted tokens occur.
    for (int64_t round = 0; answer.size() < expected.size(); ++round) {
      const size_t after = answer.size() + 1;  // the pending token is certain
      const size_t count = std::min<size_t>(round % (GetParam() + 1),
                                            expected.size() - std::min(after, expected.size()));
      const std::vector<int32_t> told(expected.begin() + after, expected.begin() + after + count);
      const std::vector<int32_t> certain = speculator.Advance(told);
      EXPECT_GT(certain.size(), told.size());
      answer.insert(answer.end(), certain.begin(), certain.end());
    }
    answer.resize(expected.size());
    EXPECT_EQ(answer, expected) << prompt;
  }
}

INSTANTIATE_TEST_SUITE_P(NumDrafts, MtpSpeculationTest, ::testing::Values(1, 2, 5));

}  // namespace
}  // namespace oneai::models

// Models with recurrent layers: the state in its slots, and the draft head.
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/runtime/cpu_model.h"
#include "tests/models/runtime/allocation_counter.h"
#include "tests/models/runtime/tiny_model.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::FreshFolder;
using ::oneai::testing::SpecsOf;
using ::oneai::testing::StatusIs;
using ::oneai::testing::WriteTensors;
using ::testing::HasSubstr;

constexpr int64_t kBlockTokens = 4, kBlocksEach = 20, kNumSlots = 8;

// Nothing here is a multiple of a vector or a tile.
ModelConfig TinyHybrid() {
  ModelConfig config;
  config.family = ModelFamily::kQwen3_5;
  config.vocab_size = 89;
  config.hidden_size = 44;
  config.intermediate_size = 37;
  config.num_layers = 4;
  config.num_heads = 6;
  config.num_kv_heads = 2;
  config.head_dim = 24;
  config.rope.partial_factor = 0.25;
  config.qk_norm = true;
  config.attention_gate = true;
  config.zero_centered_norms = true;
  config.layer_types = {LayerType::kLinearAttention, LayerType::kFullAttention,
                        LayerType::kLinearAttention, LayerType::kLinearAttention};
  config.delta_net = {
      .num_key_heads = 2, .num_value_heads = 4, .key_dim = 9, .value_dim = 11, .conv_kernel = 4};
  return config;
}

// A model with the draft head, its cache and its states.
struct Server {
  explicit Server(const CpuModelOptions& options) {
    const ModelConfig config = TinyHybrid();
    const std::filesystem::path folder = FreshFolder("model");
    std::vector<TensorSpec> specs = SpecsOf(config);
    for (const qwen::WeightSpec& weight : qwen::MtpTable(config)) {
      specs.push_back({weight.name, DType::kF32, weight.shape});
    }
    WriteTensors(folder, specs);
    absl::StatusOr<Checkpoint> checkpoint = Checkpoint::Open(folder);
    EXPECT_THAT(checkpoint, oneai::testing::IsOk());
    CpuModelOptions with_draft = options;
    with_draft.draft_head = true;
    model = *CpuModel::Create(config, *std::move(checkpoint), with_draft);
    cache = std::make_unique<PagedKvCache>(*PagedKvCache::Create(
        model->config(), kNumSlots * kBlocksEach, kBlockTokens, options.dtype));
    state = std::make_unique<RecurrentState>(*RecurrentState::Create(model->config(), kNumSlots));
    for (int32_t slot = 0; slot < kNumSlots; ++slot) {
      std::ranges::fill(state->Slot(slot), std::byte{0x7f});  // huge numbers: nobody may read them
      std::vector<int32_t>& table = tables.emplace_back();
      for (int32_t i = 0; i < kBlocksEach; ++i) table.push_back(i * kNumSlots + slot);
    }
  }

  // A chunk of the sequence in `slot`.
  SequenceChunk Chunk(int32_t slot, absl::Span<const int32_t> tokens, int64_t begin, int64_t count,
                      int64_t rows = kAllRows) const {
    return {.tokens = tokens.subspan(begin, count),
            .start_position = begin,
            .block_table = tables[slot],
            .num_logit_rows = rows,
            .state_slot = slot};
  }

  std::vector<float> Run(const std::vector<SequenceChunk>& chunks) {
    std::vector<float> logits;
    EXPECT_THAT(model->Forward(chunks, {*cache, state.get()}, logits), oneai::testing::IsOk());
    return logits;
  }

  std::vector<std::byte> StateOf(int32_t slot) {
    return {state->Slot(slot).begin(), state->Slot(slot).end()};
  }

  std::unique_ptr<CpuModel> model;
  std::unique_ptr<PagedKvCache> cache;
  std::unique_ptr<RecurrentState> state;
  std::vector<std::vector<int32_t>> tables;  // by slot
};

std::vector<int32_t> SomeTokens(int64_t count, int32_t seed) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back((seed * 31 + static_cast<int32_t>(i * i) * 7) % 89);
  return tokens;
}

struct Arithmetic {
  ComputeDtype dtype;
  std::optional<kernels::WeightFormat> weights;
};

class HybridModelTest : public ::testing::TestWithParam<Arithmetic> {
 protected:
  CpuModelOptions Options(int num_threads) const {
    return {.dtype = GetParam().dtype, .num_threads = num_threads, .weights = GetParam().weights};
  }
};

INSTANTIATE_TEST_SUITE_P(
    Arithmetics, HybridModelTest,
    ::testing::Values(Arithmetic{ComputeDtype::kF32, {}}, Arithmetic{ComputeDtype::kBf16, {}},
                      Arithmetic{ComputeDtype::kBf16, kernels::WeightFormat::kInt8},
                      Arithmetic{ComputeDtype::kBf16, kernels::WeightFormat::kInt4}));

// Logits of every position of `tokens` in slot 1, in pieces, between two other sequences.
std::vector<float> LogitsInPieces(Server& server, const std::vector<int32_t>& tokens,
                                  const std::vector<int64_t>& pieces) {
  std::vector<float> all;
  int64_t begin = 0;
  for (const int64_t piece : pieces) {
    const std::vector<int32_t> before = SomeTokens(piece % 5 + 1, 3), after = SomeTokens(40, 5);
    const std::vector<float> logits = server.Run(
        {server.Chunk(0, before, 0, piece % 5 + 1, 0), server.Chunk(1, tokens, begin, piece),
         server.Chunk(2, after, 0, 2 * piece % 40 + 1, 1)});
    all.insert(all.end(), logits.begin(), logits.end() - server.model->output_dim());
    begin += piece;
  }
  return all;
}

TEST_P(HybridModelTest, BitsDependNeitherOnTheBatchNorOnChunksNorOnThreads) {
  Server server(Options(1)), threaded(Options(3));
  const std::vector<int32_t> tokens = SomeTokens(37, 1);
  const std::vector<float> expected = server.Run({server.Chunk(3, tokens, 0, 37)});
  ASSERT_EQ(expected.size(), static_cast<size_t>(37 * server.model->output_dim()));
  ASSERT_TRUE(std::ranges::all_of(expected, [](float x) { return std::isfinite(x); }));
  const std::vector<std::byte> state = server.StateOf(3);
  for (const auto& pieces : {std::vector<int64_t>{37}, std::vector<int64_t>{1, 5, 16, 15},
                             std::vector<int64_t>(37, 1), std::vector<int64_t>{2, 35}}) {
    EXPECT_EQ(LogitsInPieces(server, tokens, pieces), expected);
    EXPECT_EQ(server.StateOf(1), state);
  }
  EXPECT_EQ(LogitsInPieces(threaded, tokens, {20, 1, 16}), expected) << "with three threads";
}

TEST_P(HybridModelTest, ACopiedStateForksASequence) {
  Server server(Options(2));
  const std::vector<int32_t> tokens = SomeTokens(20, 1);
  const std::vector<float> expected = server.Run({server.Chunk(0, tokens, 0, 20, 1)});
  server.Run({server.Chunk(1, tokens, 0, 13, 0)});
  server.state->Copy(1, 4);
  const std::vector<int32_t> other = SomeTokens(20, 2);
  server.Run({server.Chunk(1, other, 13, 4, 0)});  // goes another way, also in the cache
  server.state->Copy(4, 1);                        // and comes back
  EXPECT_EQ(server.Run({server.Chunk(1, tokens, 13, 7, 1)}), expected);
}

TEST_P(HybridModelTest, ASnapshotWithinAChunkIsTheStateThere) {
  Server server(Options(2));
  const std::vector<int32_t> tokens = SomeTokens(12, 1), others = SomeTokens(12, 7);
  std::vector<std::vector<std::byte>> after;  // states after 8, 9, 10 and 11 tokens
  server.Run({server.Chunk(0, tokens, 0, 7, 0)});
  for (int64_t t = 7; t < 11; ++t) {
    server.Run({server.Chunk(0, tokens, t, 1, 0)});
    after.push_back(server.StateOf(0));
  }
  // The same at once, beside a sequence with one snapshot and one with none.
  const std::vector<int32_t> three = {5, 7, 3}, one = {6};
  SequenceChunk chunk = server.Chunk(1, tokens, 7, 4), second = server.Chunk(2, others, 0, 5, 0);
  chunk.state_snapshots = three;
  second.state_snapshots = one;
  server.Run({server.Chunk(1, tokens, 0, 7, 0)});
  server.Run({second, chunk, server.Chunk(4, others, 0, 3, 0)});
  for (size_t i = 0; i < three.size(); ++i) EXPECT_EQ(server.StateOf(three[i]), after[i]) << i;
  EXPECT_EQ(server.StateOf(1), after[3]);
  const std::vector<std::byte> within = server.StateOf(6);
  server.Run({server.Chunk(0, others, 0, 4, 0)});
  EXPECT_EQ(within, server.StateOf(0));
}

TEST_P(HybridModelTest, ACheckpointWithinAChunkIsTheStateThere) {
  Server server(Options(2));
  const std::vector<int32_t> tokens = SomeTokens(12, 1), others = SomeTokens(9, 7);
  std::vector<std::vector<std::byte>> after;  // states after 1, 2, ... 12 tokens
  for (int64_t t = 0; t < 12; ++t) {
    server.Run({server.Chunk(0, tokens, t, 1, 0)});
    after.push_back(server.StateOf(0));
  }
  const std::vector<StateCheckpoint> checkpoints = {{1, 4}, {8, 2}};
  const std::vector<int32_t> snapshots = {3};
  SequenceChunk chunk = server.Chunk(1, tokens, 2, 10);
  server.Run({server.Chunk(1, tokens, 0, 2, 0)});
  chunk.state_checkpoints = checkpoints;
  chunk.state_snapshots = snapshots;
  server.Run({server.Chunk(5, others, 0, 9, 0), chunk});
  EXPECT_EQ(server.StateOf(4), after[2]);
  EXPECT_EQ(server.StateOf(2), after[9]);
  EXPECT_EQ(server.StateOf(3), after[10]);
  EXPECT_EQ(server.StateOf(1), after[11]);
}

TEST_P(HybridModelTest, DraftsDependNeitherOnTheBatchNorOnChunks) {
  Server server(Options(2));
  const std::vector<int32_t> tokens = SomeTokens(18, 1), others = SomeTokens(9, 4);
  const int64_t hidden_size = server.model->config().hidden_size;
  const auto hidden_of = [&](int32_t slot, const std::vector<int32_t>& all) {
    SequenceChunk chunk = server.Chunk(slot, all, 0, static_cast<int64_t>(all.size()), 0);
    chunk.num_hidden_rows = kAllRows;
    StepOutput output;
    EXPECT_THAT(server.model->Step({&chunk, 1}, {*server.cache, server.state.get()}, output),
                oneai::testing::IsOk());
    return output.hidden;
  };
  const std::vector<float> hidden = hidden_of(0, tokens), other_hidden = hidden_of(1, others);
  const auto draft = [&](int32_t slot, const std::vector<int32_t>& all,
                         const std::vector<float>& states, int64_t begin, int64_t count) {
    return DraftChunk{
        .next_tokens = absl::MakeConstSpan(all).subspan(begin + 1, count),
        .hidden = absl::MakeConstSpan(states).subspan(begin * hidden_size, count * hidden_size),
        .start_position = begin,
        .block_table = server.tables[slot],
        .num_logit_rows = kAllRows};
  };
  StepOutput whole;
  const DraftChunk all = draft(2, tokens, hidden, 0, 17);
  ASSERT_OK(server.model->Draft({&all, 1}, *server.cache, whole));
  ASSERT_EQ(whole.hidden.size(), static_cast<size_t>(17 * hidden_size));
  std::vector<float> logits, states;
  for (int64_t begin = 0; begin < 17; begin += 4) {
    const int64_t count = std::min<int64_t>(4, 17 - begin);
    DraftChunk beside = draft(3, others, other_hidden, 0, 8);
    beside.num_logit_rows = 0;
    StepOutput output;
    ASSERT_OK(server.model->Draft({beside, draft(4, tokens, hidden, begin, count)}, *server.cache,
                                  output));
    logits.insert(logits.end(), output.logits.begin(), output.logits.end());
    states.insert(states.end(), output.hidden.begin(), output.hidden.end());
  }
  EXPECT_EQ(logits, whole.logits);
  EXPECT_EQ(states, whole.hidden);
}

TEST(HybridModelErrorsTest, RefusesWrongSlotsAndMemory) {
  Server server({.dtype = ComputeDtype::kF32, .num_threads = 1});
  const std::vector<int32_t> tokens = SomeTokens(5, 1);
  std::vector<float> logits;
  const auto refuses = [&](const std::vector<SequenceChunk>& chunks, const std::string& what) {
    EXPECT_THAT(server.model->Forward(chunks, {*server.cache, server.state.get()}, logits),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what)));
  };
  SequenceChunk chunk = server.Chunk(0, tokens, 0, 5);
  EXPECT_THAT(server.model->Forward({&chunk, 1}, *server.cache, logits),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("recurrent state")));
  chunk.state_slot = kNumSlots;
  refuses({chunk}, "chunk 0 of the step names state slot 8 of 8");
  refuses({server.Chunk(1, tokens, 0, 5), server.Chunk(1, tokens, 0, 5)}, "named twice");
  const std::vector<int32_t> same = {0}, outside = {-1}, many = {1, 2, 3, 4, 5};
  chunk.state_slot = 0;
  chunk.state_snapshots = same;
  refuses({chunk}, "named twice");
  chunk.state_snapshots = outside;
  refuses({chunk}, "names state slot -1");
  chunk.state_snapshots = many;
  refuses({chunk}, "wants 5 states within its 5 tokens");
  const std::vector<StateCheckpoint> late = {{2, 1}, {4, 2}}, unordered = {{2, 1}, {2, 2}};
  const std::vector<int32_t> last = {3};
  chunk.state_snapshots = last;
  chunk.state_checkpoints = late;
  refuses({chunk}, "after 4 tokens, which is not between 2 and 4");
  chunk.state_checkpoints = unordered;
  refuses({chunk}, "after 2 tokens, which is not between 2 and 4");
}

TEST(HybridModelErrorsTest, RefusesDraftsWithoutAHeadOrStates) {
  Server server({.dtype = ComputeDtype::kF32, .num_threads = 1});
  StepOutput output;
  const std::vector<int32_t> tokens = {1, 2};
  const std::vector<float> hidden(44);
  const DraftChunk chunk{.next_tokens = tokens, .hidden = hidden, .block_table = server.tables[0]};
  EXPECT_THAT(server.model->Draft({&chunk, 1}, *server.cache, output),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("hidden elements")));
  const std::filesystem::path folder = FreshFolder("plain");
  WriteTensors(folder, SpecsOf(TinyHybrid()));
  ASSERT_OK_AND_ASSIGN(Checkpoint checkpoint, Checkpoint::Open(folder));
  ASSERT_OK_AND_ASSIGN(auto plain,
                       CpuModel::Create(TinyHybrid(), std::move(checkpoint), {.draft_head = true}));
  EXPECT_FALSE(plain->has_draft_head());
  EXPECT_THAT(plain->Draft({&chunk, 1}, *server.cache, output),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("mtp")));
}

TEST(HybridModelMemoryTest, ASteadyWorkloadDoesNotAllocate) {
  Server server({.num_threads = 2});
  const std::vector<int32_t> prompt = SomeTokens(9, 1), next = {7, 8, 9}, snapshots = {4, 5};
  std::vector<SequenceChunk> chunks = {server.Chunk(0, prompt, 0, 9, 1),
                                       server.Chunk(1, next, 0, 3)};
  chunks[1].state_snapshots = snapshots;
  std::vector<float> logits;
  const StepMemory memory = {*server.cache, server.state.get()};
  bool ok = server.model->Forward(chunks, memory, logits).ok();  // no matchers: they allocate
  const int64_t before = oneai::testing::NumAllocations();
  for (int i = 0; i < 3; ++i) ok = ok && server.model->Forward(chunks, memory, logits).ok();
  EXPECT_EQ(oneai::testing::NumAllocations(), before);
  EXPECT_TRUE(ok);
}

}  // namespace
}  // namespace oneai::models

#include "models/runtime/recurrent_state.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

ModelConfig HybridConfig() {
  ModelConfig config;
  config.num_layers = 4;
  config.layer_types = {LayerType::kLinearAttention, LayerType::kFullAttention,
                        LayerType::kLinearAttention, LayerType::kLinearAttention};
  config.delta_net = {
      .num_key_heads = 1, .num_value_heads = 3, .key_dim = 5, .value_dim = 7, .conv_kernel = 4};
  return config;
}

std::vector<std::byte> BytesOf(RecurrentState& state, int32_t slot) {
  const absl::Span<std::byte> bytes = state.Slot(slot);
  return {bytes.begin(), bytes.end()};
}

TEST(RecurrentStateTest, HoldsTailsAndMatricesOfLinearLayersOnly) {
  const ModelConfig config = HybridConfig();
  EXPECT_EQ(config.num_kv_layers(), 1);
  ASSERT_OK_AND_ASSIGN(RecurrentState created, RecurrentState::Create(config, 3));
  RecurrentState state = std::move(created);  // views survive a move
  ASSERT_EQ(state.layers().size(), 3u);
  for (int32_t slot = 0; slot < 3; ++slot) state.Reset(slot);
  // Fills what the views say is there, in slot 1; nothing of it may overlap or leave the slot.
  const int64_t tail = 3 * config.delta_net.conv_width(), matrices = 3 * 5 * 7;
  float next = 1;
  for (const kernels::RecurrentStateView& view : state.layers()) {
    for (int64_t i = 0; i < tail; ++i) view.tail[view.slot_stride + i] = next++;
    for (int64_t i = 0; i < matrices; ++i) view.state[view.slot_stride + i] = next++;
  }
  next = 1;
  for (const kernels::RecurrentStateView& view : state.layers()) {
    for (int64_t i = 0; i < tail; ++i) ASSERT_EQ(view.tail[view.slot_stride + i], next++);
    for (int64_t i = 0; i < matrices; ++i) ASSERT_EQ(view.state[view.slot_stride + i], next++);
  }
  for (const int32_t other : {0, 2}) {
    EXPECT_TRUE(
        std::ranges::all_of(BytesOf(state, other), [](std::byte b) { return b == std::byte{0}; }));
  }
}

TEST(RecurrentStateTest, CopiesAndResetsOneSlot) {
  ASSERT_OK_AND_ASSIGN(RecurrentState state, RecurrentState::Create(HybridConfig(), 3));
  for (int32_t slot = 0; slot < 3; ++slot) {
    std::memset(state.Slot(slot).data(), slot + 1, state.Slot(slot).size());
  }
  state.Copy(1, 1);
  state.Copy(2, 0);
  EXPECT_EQ(BytesOf(state, 0), BytesOf(state, 2));
  EXPECT_NE(BytesOf(state, 0), BytesOf(state, 1));
  state.Reset(2);
  EXPECT_EQ(BytesOf(state, 2), std::vector<std::byte>(state.Slot(2).size()));
  EXPECT_EQ(BytesOf(state, 0)[0], std::byte{3});
}

TEST(RecurrentStateTest, ModelsWithoutLinearLayersNeedNoMemory) {
  ModelConfig config = HybridConfig();
  config.layer_types.assign(4, LayerType::kFullAttention);
  EXPECT_EQ(RecurrentState::SlotBytes(config), 0);
  ASSERT_OK_AND_ASSIGN(RecurrentState state, RecurrentState::Create(config, 2));
  EXPECT_TRUE(state.layers().empty());
  state.Reset(1);
  state.Copy(0, 1);
}

TEST(RecurrentStateTest, RefusesImpossibleSizes) {
  EXPECT_THAT(RecurrentState::Create(HybridConfig(), 0),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("slots")));
  ModelConfig huge = HybridConfig();
  huge.delta_net.value_dim = int64_t{1} << 40;
  EXPECT_THAT(RecurrentState::Create(huge, 1'000'000),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("fewer sequences")));
}

}  // namespace
}  // namespace oneai::models

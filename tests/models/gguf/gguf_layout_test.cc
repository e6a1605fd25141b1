// Which rows of which stored tensor make up each Hugging Face tensor.
#include "models/gguf/gguf_layout.h"

#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "models/gguf/rope_factors.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Two key heads of 2, four value heads of 3; two layers and a draft layer.
Json HybridConfig(const std::string& model_type) {
  return {{"model_type", model_type},  {"num_hidden_layers", 2},      {"num_experts", 2},
          {"linear_num_key_heads", 2}, {"linear_num_value_heads", 4}, {"linear_key_head_dim", 2},
          {"linear_value_head_dim", 3}};
}

TensorPlace PlaceIn(const GgufLayout& layout, const std::string& name,
                    const std::vector<int64_t>& shape) {
  absl::StatusOr<std::optional<TensorPlace>> place = PlaceOf(layout, name, shape);
  EXPECT_OK(place);
  EXPECT_TRUE(place.ok() && place->has_value()) << name;
  return place.ok() && place->has_value() ? **std::move(place) : TensorPlace{};
}

// Where each row is stored: "name:row".
std::vector<std::string> StoredRows(const TensorPlace& place) {
  std::vector<std::string> rows;
  for (const RowRun& run : place.runs) {
    EXPECT_EQ(run.row, static_cast<int64_t>(rows.size()));
    for (int64_t i = 0; i < run.num_rows; ++i)
      rows.push_back(absl::StrCat(run.stored.substr(6), ":", run.stored_row + i));
  }
  return rows;
}

TEST(GgufLayoutTest, TakesQwen3NextsGroupsApart) {
  const GgufLayout layout = LayoutOf(HybridConfig("qwen3_next"));
  // A group: q 2, k 2, v 2 x 3, z 2 x 3.
  const TensorPlace place =
      PlaceIn(layout, "model.layers.0.linear_attn.in_proj_qkvz.weight", {32, 5});
  const std::vector<std::string> rows = StoredRows(place);
  ASSERT_EQ(rows.size(), 32u);
  EXPECT_EQ(rows[1], "attn_qkv.weight:1");    // q of head 0
  EXPECT_EQ(rows[2], "attn_qkv.weight:4");    // k of head 0, behind all q
  EXPECT_EQ(rows[4], "attn_qkv.weight:8");    // v of head 0, behind all k
  EXPECT_EQ(rows[10], "attn_gate.weight:0");  // z of head 0
  EXPECT_EQ(rows[16], "attn_qkv.weight:2");   // q of head 1
  EXPECT_EQ(rows[20], "attn_qkv.weight:14");  // v of head 1
  EXPECT_EQ(rows[31], "attn_gate.weight:11");
  EXPECT_EQ(std::set<std::string>(rows.begin(), rows.end()).size(), 32u);
  // Here value heads stay where they are.
  const TensorPlace ba = PlaceIn(layout, "model.layers.0.linear_attn.in_proj_ba.weight", {8, 5});
  EXPECT_EQ(ba.runs.size(), 1u);
  EXPECT_THAT(PlaceOf(layout, "model.layers.0.linear_attn.in_proj_qkvz.weight", {31, 5}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("32 rows")));
}

TEST(GgufLayoutTest, TilesQwen3_5sValueHeads) {
  const GgufLayout layout = LayoutOf(HybridConfig("qwen3_5_text"));
  // Heads 0, 1 (of key head 0), 2, 3 (of key head 1) are stored as 0, 2, 1, 3.
  const TensorPlace b = PlaceIn(layout, "model.layers.0.linear_attn.in_proj_b.weight", {4, 5});
  EXPECT_THAT(StoredRows(b), ElementsAre("ssm_beta.weight:0", "ssm_beta.weight:2",
                                         "ssm_beta.weight:1", "ssm_beta.weight:3"));
  const TensorPlace conv = PlaceIn(layout, "model.layers.0.linear_attn.conv1d.weight", {20, 1, 4});
  EXPECT_THAT(conv.runs[0].stored_shape, ElementsAre(20, 4));
  const std::vector<std::string> channels = StoredRows(conv);
  EXPECT_EQ(channels[7], "ssm_conv1d.weight:7");    // queries and keys stay
  EXPECT_EQ(channels[11], "ssm_conv1d.weight:14");  // value head 1
  const TensorPlace out = PlaceIn(layout, "model.layers.0.linear_attn.out_proj.weight", {5, 12});
  EXPECT_THAT(out.stored_columns, ElementsAre(0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11));
  const TensorPlace a_log = PlaceIn(layout, "model.layers.1.linear_attn.A_log", {4});
  EXPECT_EQ(a_log.runs[0].stored, "blk.1.ssm_a");
  EXPECT_EQ(a_log.map, ValueMap::kNegatedExp);
  EXPECT_THAT(a_log.stored_columns, ElementsAre(0, 2, 1, 3));
  EXPECT_FLOAT_EQ(ToStored(ValueMap::kNegatedExp, 1.5f), -std::exp(1.5f));
  EXPECT_FLOAT_EQ(FromStored(ValueMap::kNegatedExp, -std::exp(1.5f)), 1.5f);
}

TEST(GgufLayoutTest, NormsGainOneButForDeltaNetsOwn) {
  const GgufLayout layout = LayoutOf(HybridConfig("qwen3_5_text"));
  for (const auto& [name, stored, map] :
       {std::tuple{"model.norm.weight", "output_norm.weight", ValueMap::kPlusOne},
        {"model.layers.0.post_attention_layernorm.weight", "blk.0.post_attention_norm.weight",
         ValueMap::kPlusOne},
        {"model.layers.0.linear_attn.norm.weight", "blk.0.ssm_norm.weight", ValueMap::kSame},
        {"mtp.layers.0.self_attn.q_norm.weight", "blk.2.attn_q_norm.weight", ValueMap::kPlusOne},
        {"mtp.pre_fc_norm_embedding.weight", "blk.2.nextn.enorm.weight", ValueMap::kPlusOne},
        {"mtp.norm.weight", "blk.2.nextn.shared_head_norm.weight", ValueMap::kPlusOne}}) {
    const TensorPlace place = PlaceIn(layout, name, {3});
    EXPECT_EQ(place.runs[0].stored, stored);
    EXPECT_EQ(place.map, map) << name;
  }
}

TEST(GgufLayoutTest, StackedExpertsAreTwoStacksOrOne) {
  GgufLayout layout = LayoutOf(HybridConfig("qwen3_5_moe_text"));
  const std::string name = "mtp.layers.0.mlp.experts.gate_up_proj";
  const TensorPlace apart = PlaceIn(layout, name, {2, 4, 5});
  EXPECT_THAT(StoredRows(apart), ElementsAre("ffn_gate_exps.weight:0", "ffn_gate_exps.weight:1",
                                             "ffn_up_exps.weight:0", "ffn_up_exps.weight:1",
                                             "ffn_gate_exps.weight:2", "ffn_gate_exps.weight:3",
                                             "ffn_up_exps.weight:2", "ffn_up_exps.weight:3"));
  for (const char* stored : {"blk.2.ffn_gate_exps.weight", "blk.2.ffn_up_exps.weight"}) {
    ASSERT_OK_AND_ASSIGN(const auto parts, HfTensorsOf(layout, stored, {2, 2, 5}));
    ASSERT_EQ(parts.size(), 1u);
    EXPECT_EQ(parts[0].name, name);
    EXPECT_THAT(parts[0].shape, ElementsAre(2, 4, 5));
  }
  layout.fused_gate_up = true;
  const TensorPlace fused = PlaceIn(layout, name, {2, 4, 5});
  ASSERT_EQ(fused.runs.size(), 1u);
  EXPECT_EQ(fused.runs[0].stored, "blk.2.ffn_gate_up_exps.weight");
  ASSERT_OK_AND_ASSIGN(const auto whole,
                       HfTensorsOf(layout, "blk.2.ffn_gate_up_exps.weight", {2, 4, 5}));
  EXPECT_THAT(whole[0].shape, ElementsAre(2, 4, 5));
}

TEST(GgufLayoutTest, FusedStacksHoldGateAndUpOfEachExpert) {
  GgufLayout layout = LayoutOf({{"model_type", "qwen3_moe"}, {"num_experts", 3}});
  layout.fused_gate_up = true;
  ASSERT_OK_AND_ASSIGN(const auto parts,
                       HfTensorsOf(layout, "blk.0.ffn_gate_up_exps.weight", {3, 4, 5}));
  EXPECT_EQ(parts.size(), 6u);
  const TensorPlace up = PlaceIn(layout, "model.layers.0.mlp.experts.1.up_proj.weight", {2, 5});
  EXPECT_THAT(StoredRows(up),
              ElementsAre("ffn_gate_up_exps.weight:6", "ffn_gate_up_exps.weight:7"));
}

TEST(GgufLayoutTest, OlderFilesKeepQkvzWhole) {
  GgufLayout layout = LayoutOf(HybridConfig("qwen3_next"));
  layout.whole_qkvz = true;
  ASSERT_OK_AND_ASSIGN(const auto parts, HfTensorsOf(layout, "blk.0.ssm_in.weight", {32, 5}));
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].name, "model.layers.0.linear_attn.in_proj_qkvz.weight");
  const TensorPlace place = PlaceIn(layout, parts[0].name, {32, 5});
  EXPECT_EQ(place.runs[0].stored, "blk.0.ssm_in.weight");
}

TEST(RopeFactorsTest, PublishedScalingsComeBack) {
  for (const auto& [factor, high, positions, theta, head_dim] :
       {std::tuple{8.0, 4.0, 8192.0, 500000.0, 128},  // Llama 3.1
        {32.0, 4.0, 8192.0, 500000.0, 64},            // Llama 3.2
        {16.0, 3.0, 4096.0, 10000.0, 128}}) {         // neither
    const Llama3Scaling scaling{factor, 1.0, high, positions};
    const std::vector<float> factors = RopeFactors(scaling, theta, head_dim);
    EXPECT_EQ(factors.front(), 1.0f);
    EXPECT_EQ(factors.back(), static_cast<float>(factor));
    const auto back = Llama3ScalingOf(factors, theta);
    ASSERT_TRUE(back.has_value()) << factor;
    EXPECT_EQ(back->factor, factor);
    EXPECT_EQ(back->low_frequency_factor, 1.0);
    EXPECT_EQ(back->high_frequency_factor, high);
    EXPECT_EQ(back->original_positions, positions);
  }
  // Only ratios count: 2, 8 and 16384 are 1, 4 and 8192.
  const auto same = Llama3ScalingOf(RopeFactors({8, 2, 8, 16384}, 500000, 128), 500000);
  ASSERT_TRUE(same.has_value());
  EXPECT_EQ(same->original_positions, 8192);
}

TEST(RopeFactorsTest, OtherNumbersHaveNone) {
  const std::vector<std::vector<float>> kOthers = {
      {}, {1, 1, 1, 1}, {1, 2, 3, 2}, {1, NAN, 8, 8}, {0, 1, 8, 8}, {1, 1, 5, INFINITY}};
  for (const std::vector<float>& factors : kOthers)
    EXPECT_FALSE(Llama3ScalingOf(factors, 500000).has_value());
}

}  // namespace
}  // namespace oneai::models

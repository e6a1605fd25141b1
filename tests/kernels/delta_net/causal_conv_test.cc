#include "kernels/delta_net/causal_conv.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/delta_net/delta_net_case.h"

namespace oneai::kernels {
namespace {

struct ConvCase {
  ConvCase(int64_t num_channels, int64_t kernel, const std::vector<int64_t>& lengths)
      : channels(num_channels), kernel_size(kernel), stride(num_channels + 5) {
    for (const int64_t n : lengths) seq_start.push_back(seq_start.back() + static_cast<int32_t>(n));
    const auto count = static_cast<int32_t>(lengths.size());
    for (int32_t i = 0; i < count; ++i) {
      slot.push_back(count - i);
      runs.push_back({seq_start[i], seq_start[i + 1], slot[i], slot[i]});
    }
    slot_stride = (kernel - 1) * channels + 2;
    x = RandomFloats(seq_start.back() * stride + 1, 21);
    weight = RandomFloats(kernel * channels + 1, 22);
    tail = RandomFloats((count + 1) * slot_stride, 23);
  }

  CausalConvArgs args() {
    return {.x = x.data() + 1,
            .x_stride = stride,
            .weight = weight.data() + 1,
            .channels = channels,
            .kernel_size = kernel_size,
            .runs = runs.data(),
            .num_runs = static_cast<int64_t>(runs.size()),
            .tail = tail.data(),
            .slot_stride = slot_stride};
  }

  int64_t channels, kernel_size, stride, slot_stride;
  std::vector<int32_t> seq_start{0}, slot;
  std::vector<RecurrentRun> runs;
  std::vector<float> x, weight, tail;
};

// Checks channel c of sequence s of `after` against float64 arithmetic on `before`.
void CheckChannel(ConvCase& before, ConvCase& after, int64_t s, int64_t c) {
  const CausalConvArgs in = before.args(), out = after.args();
  const int64_t history = in.kernel_size - 1, first = before.seq_start[s];
  const int64_t num_tokens = before.seq_start[s + 1] - first;
  std::vector<float> inputs;
  for (int64_t j = 0; j < history; ++j) {
    inputs.push_back(in.tail[before.slot[s] * in.slot_stride + j * in.channels + c]);
  }
  for (int64_t t = 0; t < num_tokens; ++t) inputs.push_back(in.x[(first + t) * in.x_stride + c]);
  for (int64_t t = 0; t < num_tokens; ++t) {
    double sum = 0, magnitude = 0;
    for (int64_t j = 0; j < in.kernel_size; ++j) {
      const double term = double{in.weight[j * in.channels + c]} * inputs[t + j];
      sum += term, magnitude += std::abs(term);
    }
    // The sum's error, passed on by SiLU with a slope below 1.1, and SiLU's own few roundings.
    const double tolerance = 1.1 * static_cast<double>(in.kernel_size) * kFloatEps * magnitude +
                             8 * kFloatEps * std::abs(sum) + kFloatMin;
    ASSERT_NEAR(out.x[(first + t) * out.x_stride + c], sum / (1 + std::exp(-sum)), tolerance);
  }
  for (int64_t j = 0; j < history; ++j) {
    ASSERT_EQ(out.tail[after.slot[s] * out.slot_stride + j * out.channels + c],
              inputs[num_tokens + j]);
  }
}

TEST(CausalConvTest, MatchesDefinitionWithTailsStridesAndSlots) {
  for (const int64_t channels : {1, 16, 19, 64, 300}) {
    for (const int64_t kernel : {int64_t{1}, int64_t{2}, int64_t{4}, kConvKernelMax}) {
      ForEachDeltaNetVariant([&](const DeltaNetFns& fns) {
        ConvCase c(channels, kernel, {1, 9, 2, 3});
        ConvCase before = c;
        fns.causal_conv(c.args(), 0, channels);
        for (size_t s = 0; s < c.slot.size(); ++s) {
          for (int64_t i = 0; i < channels; ++i)
            CheckChannel(before, c, static_cast<int64_t>(s), i);
        }
        for (int64_t t = 0; t < c.seq_start.back(); ++t) {
          for (int64_t i = channels; i < c.stride; ++i) {
            ASSERT_EQ(c.x[1 + t * c.stride + i], before.x[1 + t * c.stride + i]);
          }
        }
      });
    }
  }
}

TEST(CausalConvTest, BitsDependNeitherOnChunksNorOnTheBatch) {
  constexpr int64_t kChannels = 75;
  ForEachDeltaNetVariant([&](const DeltaNetFns& fns) {
    ConvCase whole(kChannels, 4, {12, 1, 7});
    const ConvCase before = whole;
    fns.causal_conv(whole.args(), 0, kChannels);
    for (const int64_t piece : {1, 2, 3, 5}) {
      ConvCase pieces = before;
      for (const RecurrentRun& all : pieces.runs) {
        for (int64_t t = all.begin; t < all.end; t += piece) {
          RecurrentRun run = all;
          run.begin = static_cast<int32_t>(t);
          run.end = static_cast<int32_t>(std::min<int64_t>(all.end, t + piece));
          CausalConvArgs a = pieces.args();
          a.runs = &run, a.num_runs = 1;
          fns.causal_conv(a, 0, kChannels);
        }
      }
      ASSERT_EQ(pieces.x, whole.x) << piece;
      ASSERT_EQ(pieces.tail, whole.tail) << piece;
    }
  });
}

TEST(CausalConvTest, ARunMayStartFromZerosOrFromAnotherSlot) {
  constexpr int64_t kChannels = 20;
  ForEachDeltaNetVariant([&](const DeltaNetFns& fns) {
    ConvCase in_place(kChannels, 4, {2, 6});
    const int64_t n = 3 * kChannels;
    const auto slot_at = [&](ConvCase& c, int32_t slot) { return &c.tail[slot * c.slot_stride]; };
    std::fill_n(slot_at(in_place, 1), n, 0.0f);  // the second sequence's
    ConvCase moved = in_place;
    const ConvCase before = moved;
    moved.runs[0].to = 0;
    moved.runs[1].from = kZeroState;
    fns.causal_conv(in_place.args(), 0, kChannels);
    fns.causal_conv(moved.args(), 0, kChannels);
    EXPECT_EQ(moved.x, in_place.x);
    EXPECT_TRUE(std::equal(slot_at(moved, 0), slot_at(moved, 0) + n, slot_at(in_place, 2)));
    EXPECT_TRUE(std::equal(slot_at(moved, 1), slot_at(moved, 1) + n, slot_at(in_place, 1)));
    EXPECT_TRUE(
        std::equal(slot_at(moved, 2), slot_at(moved, 2) + n, &before.tail[2 * before.slot_stride]));
  });
}

TEST(CausalConvTest, BitsDoNotDependOnThreads) {
  std::vector<ConvCase> runs;
  for (const int threads : {1, 2, 3}) {
    KernelContext ctx(threads);
    ConvCase c(333, 4, {8, 0, 1});
    CausalConvSilu(c.args(), ctx);
    runs.push_back(c);
  }
  for (const ConvCase& c : runs) {
    EXPECT_EQ(c.x, runs[0].x);
    EXPECT_EQ(c.tail, runs[0].tail);
  }
}

}  // namespace
}  // namespace oneai::kernels

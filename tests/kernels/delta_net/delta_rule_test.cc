#include "kernels/delta_net/delta_rule.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/delta_net/delta_net_case.h"

namespace oneai::kernels {
namespace {

constexpr DeltaShape kShapes[] = {{1, 1, 1, 1},   {2, 4, 16, 16},  {1, 3, 5, 7},
                                  {2, 2, 20, 71}, {1, 2, 33, 100}, {1, 2, 128, 128}};

// One column of one head in float64, and how large the state of that column ever was.
struct ExactColumn {
  std::vector<double> state, out;
  double magnitude = 0;
};

std::vector<double> Unit(const float* x, int64_t dim, double scale) {
  double sum = 0;
  for (int64_t i = 0; i < dim; ++i) sum += double{x[i]} * x[i];
  std::vector<double> y;
  for (int64_t i = 0; i < dim; ++i) y.push_back(x[i] * scale / std::sqrt(sum + 1e-6));
  return y;
}

ExactColumn Exact(DeltaCase& c, int64_t sequence, int64_t head, int64_t column) {
  const DeltaRuleArgs a = c.args();
  const int64_t dk = a.key_dim, dv = a.value_dim;
  const float* state = a.state + c.slot[sequence] * a.slot_stride + head * dk * dv;
  ExactColumn exact;
  for (int64_t i = 0; i < dk; ++i) {
    exact.state.push_back(state[DeltaStateIndex(dk, dv, i, column)]);
  }
  const int64_t key_head = head * a.num_key_heads / a.num_value_heads;
  for (int64_t t = c.seq_start[sequence]; t < c.seq_start[sequence + 1]; ++t) {
    const float* row = a.q + t * a.token_stride;
    const std::vector<double> q =
        Unit(row + key_head * dk, dk, 1 / std::sqrt(static_cast<double>(dk)));
    const std::vector<double> k = Unit(row + c.shape.keys() + key_head * dk, dk, 1);
    const double v = a.v[t * a.token_stride + head * dv + column];
    const double decay = std::exp(double{a.g[t * a.num_value_heads + head]});
    double known = 0, out = 0, norm = 0;
    for (int64_t i = 0; i < dk; ++i) known += decay * exact.state[i] * k[i];
    for (int64_t i = 0; i < dk; ++i) {
      norm += exact.state[i] * exact.state[i];
      exact.state[i] =
          decay * exact.state[i] + k[i] * a.beta[t * a.num_value_heads + head] * (v - known);
      out += exact.state[i] * q[i];
    }
    exact.out.push_back(out);
    exact.magnitude = std::max(exact.magnitude, std::sqrt(norm) + std::abs(v));
  }
  return exact;
}

// A step maps the state by exp(g) (I - beta k' k'^T), whose norm is at most 1, so the errors of
// earlier steps do not grow and T steps err by at most T times what one does: sums of dk terms for
// the norms of q and k, for S^T k and for S^T q, and a dozen roundings, of values below the state's
// norm plus |v|.
double Tolerance(const ExactColumn& exact, int64_t num_tokens, int64_t dk) {
  return static_cast<double>(num_tokens) * (3.0 * static_cast<double>(dk) + 12) * kFloatEps *
             exact.magnitude +
         kFloatMin;
}

TEST(DeltaRuleTest, MatchesDefinitionWithTailsStridesAndSlots) {
  for (const DeltaShape& shape : kShapes) {
    SCOPED_TRACE(shape.value_dim);
    ForEachDeltaNetVariant([&](const DeltaNetFns& fns) {
      DeltaCase c(shape, {1, 37, 16}, 11);
      DeltaCase before = c;
      const DeltaRuleArgs a = c.args();
      fns.delta_rule(a, 0, shape.value_heads * c.num_sequences());
      for (int64_t s = 0; s < c.num_sequences(); ++s) {
        const int64_t num_tokens = c.seq_start[s + 1] - c.seq_start[s];
        for (int64_t h = 0; h < shape.value_heads; ++h) {
          for (int64_t j = 0; j < shape.value_dim; ++j) {
            const ExactColumn exact = Exact(before, s, h, j);
            const double tolerance = Tolerance(exact, num_tokens, shape.key_dim);
            for (int64_t t = 0; t < num_tokens; ++t) {
              ASSERT_NEAR(a.out[(c.seq_start[s] + t) * a.out_stride + h * shape.value_dim + j],
                          exact.out[t], tolerance);
            }
            for (int64_t i = 0; i < shape.key_dim; ++i) {
              ASSERT_NEAR(a.state[c.slot[s] * a.slot_stride + h * shape.key_dim * shape.value_dim +
                                  DeltaStateIndex(shape.key_dim, shape.value_dim, i, j)],
                          exact.state[i], tolerance);
            }
          }
        }
      }
    });
  }
}

TEST(DeltaRuleTest, TouchesOnlyItsSlotsAndOutputs) {
  const DeltaShape shape = {1, 2, 9, 70};
  ForEachDeltaNetVariant([&](const DeltaNetFns& fns) {
    DeltaCase c(shape, {3, 20}, 12);
    const DeltaCase before = c;
    fns.delta_rule(c.args(), 0, shape.value_heads * c.num_sequences());
    for (int64_t t = 0; t < c.num_tokens(); ++t) {
      for (int64_t i = shape.values(); i < c.out_stride(); ++i) {
        ASSERT_EQ(c.out[t * c.out_stride() + i], DeltaCase::kUntouched);
      }
    }
    for (int64_t s = 0; s < 4; ++s) {
      const bool used = s == c.slot[0] || s == c.slot[1];
      const int64_t first = used ? shape.state() : 0;
      for (int64_t i = first; i < c.slot_stride(); ++i) {
        ASSERT_EQ(c.state[s * c.slot_stride() + i], before.state[s * c.slot_stride() + i]);
      }
    }
    EXPECT_EQ(c.mixed, before.mixed);
  });
}

// Runs the tokens of `c` in pieces of at most `piece`.
void RunInPieces(DeltaCase& c, const DeltaNetFns& fns, int64_t piece) {
  for (const RecurrentRun& whole : c.runs) {
    for (int64_t t = whole.begin; t < whole.end; t += piece) {
      RecurrentRun run = whole;
      run.begin = static_cast<int32_t>(t);
      run.end = static_cast<int32_t>(std::min<int64_t>(whole.end, t + piece));
      DeltaRuleArgs a = c.args();
      a.runs = &run, a.num_runs = 1;
      fns.delta_rule(a, 0, a.num_value_heads);
    }
  }
}

TEST(DeltaRuleTest, BitsDependNeitherOnChunksNorOnTheBatch) {
  for (const DeltaShape& shape : kShapes) {
    ForEachDeltaNetVariant([&](const DeltaNetFns& fns) {
      DeltaCase whole(shape, {45, 1, 33, 16, 17}, 13);
      const DeltaCase before = whole;
      fns.delta_rule(whole.args(), 0, shape.value_heads * whole.num_sequences());
      for (const int64_t piece : {1, 2, 7, 16, 31, 64}) {
        DeltaCase pieces = before;
        RunInPieces(pieces, fns, piece);
        ASSERT_EQ(pieces.out, whole.out) << piece;
        ASSERT_EQ(pieces.state, whole.state) << piece;
      }
    });
  }
}

TEST(DeltaRuleTest, ARunMayStartFromZerosOrFromAnotherSlot) {
  const DeltaShape shape = {1, 2, 9, 70};
  ForEachDeltaNetVariant([&](const DeltaNetFns& fns) {
    DeltaCase in_place(shape, {20, 5}, 18);
    const auto slot_at = [&](DeltaCase& c, int32_t slot) {
      return &c.state[slot * c.slot_stride()];
    };
    std::fill_n(slot_at(in_place, 1), shape.state(), 0.0f);  // the second sequence's
    DeltaCase moved = in_place;
    moved.runs[0].to = 2;
    moved.runs[1].from = kZeroState, moved.runs[1].to = 0;
    const DeltaCase before = moved;
    fns.delta_rule(in_place.args(), 0, 4);
    fns.delta_rule(moved.args(), 0, 4);
    EXPECT_EQ(moved.out, in_place.out);
    const int64_t n = shape.state();
    EXPECT_TRUE(std::equal(slot_at(moved, 2), slot_at(moved, 2) + n, slot_at(in_place, 3)));
    EXPECT_TRUE(std::equal(slot_at(moved, 0), slot_at(moved, 0) + n, slot_at(in_place, 1)));
    EXPECT_TRUE(std::equal(slot_at(moved, 3), slot_at(moved, 3) + n,
                           &before.state[3 * before.slot_stride()]));
  });
}

TEST(DeltaRuleTest, BitsDoNotDependOnThreads) {
  const DeltaShape shape = {2, 6, 24, 80};
  std::vector<DeltaCase> runs;
  for (const int threads : {1, 2, 5}) {
    KernelContext ctx(threads);
    DeltaCase c(shape, {5, 0, 40, 1}, 14);
    DeltaRule(c.args(), ctx);
    runs.push_back(c);
  }
  for (const DeltaCase& c : runs) {
    EXPECT_EQ(c.out, runs[0].out);
    EXPECT_EQ(c.state, runs[0].state);
  }
  DeltaCase none(shape, {}, 15);
  KernelContext ctx(2);
  DeltaRule(none.args(), ctx);  // no sequences: no-op
}

TEST(DeltaRuleTest, ZeroKeysLeaveTheDecayedState) {
  const DeltaShape shape = {1, 1, 17, 19};
  ForEachDeltaNetVariant([&](const DeltaNetFns& fns) {
    DeltaCase c(shape, {1}, 16);
    std::fill(c.mixed.begin() + 1, c.mixed.begin() + 1 + 2 * shape.keys(), 0.0f);
    c.g[0] = -1.0f;
    const DeltaCase before = c;
    fns.delta_rule(c.args(), 0, 1);
    const int64_t at = c.slot[0] * c.slot_stride();
    for (int64_t i = 0; i < shape.state(); ++i) {
      ASSERT_NEAR(c.state[at + i], before.state[at + i] * std::exp(-1.0),
                  3 * kFloatEps * std::abs(before.state[at + i]));
    }
    for (int64_t i = 0; i < shape.values(); ++i) ASSERT_EQ(c.out[i], 0.0f);
  });
}

TEST(DeltaGatesTest, MatchesDefinitionAndStaysFiniteAtTheEnds) {
  constexpr int64_t kHeads = 3, kTokens = 200, kStride = 9;
  std::vector<float> in = RandomFloats(kTokens * kStride, 17, 20.0f);
  in[0] = 200.0f, in[1] = -200.0f, in[4] = 300.0f, in[5] = -300.0f;
  const std::vector<float> a_log = {-2.0f, 0.0f, 2.5f}, dt_bias = {0.5f, -1.0f, 3.0f};
  std::vector<float> g(kTokens * kHeads), beta(g.size()), g1(g), beta1(g);
  DeltaGatesArgs args{.b = in.data(),
                      .a = in.data() + 4,
                      .in_stride = kStride,
                      .a_log = a_log.data(),
                      .dt_bias = dt_bias.data(),
                      .g = g.data(),
                      .beta = beta.data(),
                      .num_tokens = kTokens,
                      .num_heads = kHeads};
  KernelContext three(3), one(1);
  DeltaGates(args, three);
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t h = 0; h < kHeads; ++h) {
      const double x = double{in[t * kStride + 4 + h]} + dt_bias[h];
      const double softplus = x > 40 ? x : std::log1p(std::exp(x));
      const double exact = -std::exp(double{a_log[h]}) * softplus;
      // The argument's rounding moves softplus by at most eps |x|; then five roundings.
      const double slack = std::exp(double{a_log[h]}) * std::abs(x) * kFloatEps;
      ASSERT_NEAR(g[t * kHeads + h], exact, 8 * kFloatEps * std::abs(exact) + 2 * slack + 1e-30);
      const double sigmoid = 1 / (1 + std::exp(-double{in[t * kStride + h]}));
      ASSERT_NEAR(beta[t * kHeads + h], sigmoid, 4 * kFloatEps * sigmoid + kFloatMin);
    }
  }
  args.g = g1.data(), args.beta = beta1.data();
  DeltaGates(args, one);
  EXPECT_EQ(g, g1);
  EXPECT_EQ(beta, beta1);
}

}  // namespace
}  // namespace oneai::kernels

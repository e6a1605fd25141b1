// Paged attention at the shapes of Qwen3-0.6B (16 query heads, 8 KV heads of 128, blocks of 16
// tokens, bf16 cache): decode against the read bandwidth, prefill against the float32 rate on
// registers, both measured next to it.
//
//   attention_bench [threads]
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "benchmarks/kernels/machine_peaks.h"
#include "benchmarks/kernels/stopwatch.h"
#include "kernels/attention/attention.h"

namespace oneai::kernels {
namespace {

constexpr int64_t kHeads = 16, kKvHeads = 8, kHeadDim = 128, kBlockTokens = 16;

struct Workload {
  const char* name;
  int64_t sequences, queries, context;
};
constexpr Workload kWorkloads[] = {{"decode", 16, 1, 2048},
                                   {"decode", 1, 1, 32768},
                                   {"prefill", 1, 512, 512},
                                   {"prefill", 1, 512, 4096}};

// A cache as an engine would allocate it: on huge pages, so that rows 2 KiB apart share
// translations.
class CacheMemory {
 public:
  explicit CacheMemory(int64_t count) : bytes_(count * sizeof(BFloat16)) {
    void* memory =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    madvise(memory, bytes_, MADV_HUGEPAGE);
    data_ = static_cast<BFloat16*>(memory);
    std::minstd_rand random(1);
    for (int64_t i = 0; i < count; ++i) {
      data_[i] = {static_cast<uint16_t>(0x3c00 + (random() & 0x80ff))};
    }
  }
  ~CacheMemory() { munmap(data_, bytes_); }
  CacheMemory(const CacheMemory&) = delete;
  CacheMemory& operator=(const CacheMemory&) = delete;

  BFloat16* data() const { return data_; }
  double bytes() const { return static_cast<double>(bytes_); }

 private:
  const size_t bytes_;
  BFloat16* data_;
};

void Measure(const Variant<AttentionFn>& variant, const Workload& load, KernelContext& ctx) {
  const int64_t blocks_per_sequence = load.context / kBlockTokens;
  const int64_t blocks = load.sequences * blocks_per_sequence;
  const int64_t block_stride = kBlockTokens * kKvHeads * kHeadDim;
  const CacheMemory k(blocks * block_stride), v(blocks * block_stride);
  std::vector<int32_t> block_table(blocks), seq_start(load.sequences + 1);
  for (int64_t i = 0; i < blocks; ++i) block_table[i] = static_cast<int32_t>(i);
  for (int64_t s = 0; s <= load.sequences; ++s) {
    seq_start[s] = static_cast<int32_t>(s * load.queries);
  }
  const std::vector<int32_t> context_len(load.sequences, static_cast<int32_t>(load.context));
  const int64_t row = kHeads * kHeadDim, tokens = load.sequences * load.queries;
  std::vector<float> q(tokens * row, 0.01f), out(tokens * row);
  const AttentionArgs args{.q = q.data(),
                           .q_stride = row,
                           .out = out.data(),
                           .out_stride = row,
                           .cache = {k.data(), v.data(), Dtype::kBFloat16, block_stride,
                                     kBlockTokens, kKvHeads, kHeadDim},
                           .block_table = block_table.data(),
                           .block_table_stride = blocks_per_sequence,
                           .seq_start = seq_start.data(),
                           .context_len = context_len.data(),
                           .num_sequences = load.sequences,
                           .num_heads = kHeads,
                           .scale = 0.088f};
  const double bandwidth = MeasureReadBandwidth(ctx);
  const double peak = MeasurePeakFlops(variant.isa == CpuIsa::kAvx2 ? "avx2" : "avx512", ctx);
  const double seconds = BestSeconds(4, [&] { AttentionWith(variant, args, ctx); });
  const double bytes = k.bytes() + v.bytes();
  // A query at position p sees p + 1 keys: two products of head_dim each.
  const double seen = static_cast<double>(load.queries) *
                      (static_cast<double>(load.context) - (load.queries - 1) / 2.0);
  const double flops = static_cast<double>(load.sequences) * kHeads * seen * 4 * kHeadDim;
  std::printf("%-10.*s %-8s %2ld x %3ld tokens, context %5ld  %9.3f ms", int(variant.name.size()),
              variant.name.data(), load.name, long(load.sequences), long(load.queries),
              long(load.context), seconds * 1e3);
  if (load.queries == 1) {
    std::printf("  %7.2f GB/s   %5.1f %% of read bandwidth %.1f\n", bytes / seconds / 1e9,
                100 * bytes / seconds / bandwidth, bandwidth / 1e9);
  } else {
    std::printf("  %7.1f GFLOP/s %5.1f %% of float32 peak %.0f\n", flops / seconds / 1e9,
                100 * flops / seconds / peak, peak / 1e9);
  }
}

int Main(int argc, char** argv) {
  KernelContext ctx(argc > 1 ? std::atoi(argv[1]) : 0);
  std::printf("%s, %d threads\n", GetCpuInfo().model_name.c_str(), ctx.threads().num_threads());
  for (const Variant<AttentionFn>& variant : AttentionVariants()) {
    if (variant.isa == CpuIsa::kReference || !variant.is_supported(GetCpuInfo().features)) continue;
    for (const Workload& load : kWorkloads) Measure(variant, load, ctx);
  }
  return 0;
}

}  // namespace
}  // namespace oneai::kernels

int main(int argc, char** argv) { return oneai::kernels::Main(argc, argv); }

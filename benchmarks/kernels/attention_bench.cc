// Paged attention at the shapes of Qwen3-0.6B (16 query heads, 8 KV heads of 128) and of two
// others, blocks of 16 tokens: decode against the DRAM read bandwidth, prefill against the rate of
// the variant's own instruction on registers, both measured next to it.
//
//   attention_bench [threads [variant]]
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "benchmarks/kernels/machine_peaks.h"
#include "benchmarks/kernels/stopwatch.h"
#include "kernels/attention/attention.h"

namespace oneai::kernels {
namespace {

constexpr int64_t kBlockTokens = 16;
constexpr KvCacheFormat kBf16 = KvCacheFormat::kBf16, kInt8 = KvCacheFormat::kInt8;

struct Workload {
  const char* name;
  int64_t sequences, queries, context;
  int64_t heads, kv_heads, head_dim;
  KvCacheFormat format;
};
constexpr Workload kWorkloads[] = {
    {"decode", 16, 1, 2048, 16, 8, 128, kBf16},    {"decode", 1, 1, 32768, 16, 8, 128, kBf16},
    {"decode", 16, 1, 2048, 16, 8, 128, kInt8},    {"decode", 1, 1, 32768, 16, 8, 128, kInt8},
    {"decode", 4, 1, 8192, 32, 4, 128, kBf16},     {"decode", 4, 1, 16384, 14, 2, 64, kBf16},
    {"decode", 4, 1, 8192, 16, 2, 256, kBf16},     {"prefill", 1, 512, 512, 16, 8, 128, kBf16},
    {"prefill", 1, 2048, 2048, 16, 8, 128, kBf16}, {"prefill", 1, 512, 4096, 16, 8, 128, kBf16},
    {"prefill", 1, 512, 2048, 16, 8, 128, kInt8},  {"prefill", 1, 1024, 1024, 14, 2, 64, kBf16},
    {"prefill", 1, 1024, 1024, 16, 2, 256, kBf16}};

// A cache as an engine allocates it: keys before values within a block, on huge pages.
class CacheMemory {
 public:
  CacheMemory(const Workload& load, int64_t blocks)
      : plane_bytes_(load.kv_heads * KvHeadBytes(load.format, kBlockTokens, load.head_dim)),
        bytes_(static_cast<size_t>(2 * plane_bytes_ * blocks)) {
    void* memory =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    madvise(memory, bytes_, MADV_HUGEPAGE);
    // Small bf16 numbers, and as good as any for int8 and its scales.
    data_ = static_cast<std::byte*>(memory);
    auto* words = reinterpret_cast<uint16_t*>(data_);
    std::minstd_rand random(1);
    for (size_t i = 0; i < bytes_ / 2; ++i) {
      words[i] = static_cast<uint16_t>(0x3c00 + (random() & 0x80ff));
    }
  }
  ~CacheMemory() { munmap(data_, bytes_); }
  CacheMemory(const CacheMemory&) = delete;
  CacheMemory& operator=(const CacheMemory&) = delete;

  KvCacheView view(const Workload& load) const {
    return {data_,        data_ + plane_bytes_, load.format,  2 * plane_bytes_,
            kBlockTokens, load.kv_heads,        load.head_dim};
  }
  double bytes() const { return static_cast<double>(bytes_); }

 private:
  const int64_t plane_bytes_;
  const size_t bytes_;
  std::byte* data_;
};

void Measure(const Variant<AttentionFn>& variant, const Workload& load, KernelContext& ctx) {
  const int64_t blocks_per_sequence = load.context / kBlockTokens;
  const int64_t blocks = load.sequences * blocks_per_sequence;
  const CacheMemory memory(load, blocks);
  std::vector<int32_t> block_table(blocks), seq_start(load.sequences + 1);
  for (int64_t i = 0; i < blocks; ++i) block_table[i] = static_cast<int32_t>(i);
  std::shuffle(block_table.begin(), block_table.end(), std::mt19937(1));
  for (int64_t s = 0; s <= load.sequences; ++s) {
    seq_start[s] = static_cast<int32_t>(s * load.queries);
  }
  const std::vector<int32_t> context_len(load.sequences, static_cast<int32_t>(load.context));
  const int64_t row = load.heads * load.head_dim, tokens = load.sequences * load.queries;
  std::vector<float> q(tokens * row, 0.01f), out(tokens * row);
  const AttentionArgs args{.q = q.data(),
                           .q_stride = row,
                           .out = out.data(),
                           .out_stride = row,
                           .cache = memory.view(load),
                           .block_table = block_table.data(),
                           .block_table_stride = blocks_per_sequence,
                           .seq_start = seq_start.data(),
                           .context_len = context_len.data(),
                           .num_sequences = load.sequences,
                           .num_heads = load.heads,
                           .scale = 0.088f};
  const double bandwidth = MeasureReadBandwidth(ctx, 0.15);
  const double peak = MeasurePeakFlops(variant.name, ctx, 0.05);
  const double seconds = BestSeconds(6, [&] { AttentionWith(variant, args, ctx); });
  // A query at position p sees p + 1 keys: two products of head_dim each.
  const double seen = static_cast<double>(load.queries) *
                      (static_cast<double>(load.context) - (load.queries - 1) / 2.0);
  const double flops = static_cast<double>(load.sequences * load.heads) * seen * 4 *
                       static_cast<double>(load.head_dim);
  std::printf("%-11.*s %-7s %-4s %2ld x %4ld tokens, context %5ld, %2ld/%ld heads of %3ld %9.3f ms",
              int(variant.name.size()), variant.name.data(), load.name,
              load.format == kInt8 ? "int8" : "bf16", long(load.sequences), long(load.queries),
              long(load.context), long(load.heads), long(load.kv_heads), long(load.head_dim),
              seconds * 1e3);
  if (load.queries == 1) {
    std::printf(" %7.2f GB/s   %5.1f %% of read bandwidth %.1f\n", memory.bytes() / seconds / 1e9,
                100 * memory.bytes() / seconds / bandwidth, bandwidth / 1e9);
  } else {
    std::printf(" %7.1f GFLOP/s %5.1f %% of the unit's peak %.0f\n", flops / seconds / 1e9,
                100 * flops / seconds / peak, peak / 1e9);
  }
}

int Main(int argc, char** argv) {
  KernelContext ctx(argc > 1 ? std::atoi(argv[1]) : 0);
  std::printf("%s, %d threads\n", GetCpuInfo().model_name.c_str(), ctx.threads().num_threads());
  for (const Variant<AttentionFn>& variant : AttentionVariants()) {
    if (variant.isa == CpuIsa::kReference || !variant.is_supported(GetCpuInfo().features)) continue;
    if (argc > 2 && variant.name != argv[2]) continue;
    for (const Workload& load : kWorkloads) Measure(variant, load, ctx);
  }
  return 0;
}

}  // namespace
}  // namespace oneai::kernels

int main(int argc, char** argv) { return oneai::kernels::Main(argc, argv); }

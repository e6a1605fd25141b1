#include "benchmarks/kernels/machine_peaks.h"

#include <emmintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

namespace oneai::kernels {
namespace {

using SteadyClock = std::chrono::steady_clock;

double SecondsSince(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

uint64_t ReadAll(const std::byte* begin, const std::byte* end) {
  __m128i sum[4] = {};
  for (const std::byte* p = begin; p < end; p += 64) {
    _mm_prefetch(p + 4096, _MM_HINT_T0);
    for (int i = 0; i < 4; ++i) {
      sum[i] = _mm_xor_si128(sum[i], _mm_load_si128(reinterpret_cast<const __m128i*>(p) + i));
    }
  }
  const __m128i all = _mm_xor_si128(_mm_xor_si128(sum[0], sum[1]), _mm_xor_si128(sum[2], sum[3]));
  return static_cast<uint64_t>(_mm_cvtsi128_si64(all));
}

PeakLoop LoopOf(absl::string_view name) {
  if (name == "avx2") return PeakLoopAvx2F32;
  if (name == "avx512") return PeakLoopAvx512F32;
  if (name == "avx512_bf16") return PeakLoopAvx512Bf16;
  if (name == "amx_bf16") return PeakLoopAmxBf16;
  return nullptr;
}

}  // namespace

double MeasureReadBandwidth(KernelContext& ctx) {
  constexpr size_t kBytes = size_t{512} << 20;
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 0;
  madvise(memory, kBytes, MADV_HUGEPAGE);
  std::memset(memory, 1, kBytes);
  const auto* data = static_cast<const std::byte*>(memory);
  std::atomic<uint64_t> sink{0};
  double best = 1e30;
  for (int pass = 0; pass < 8; ++pass) {
    const auto start = SteadyClock::now();
    ctx.threads().ParallelFor(kBytes / 4096, [&](int64_t begin, int64_t end, int) {
      sink += ReadAll(data + begin * 4096, data + end * 4096);
    });
    best = std::min(best, SecondsSince(start));
  }
  munmap(memory, kBytes);
  return kBytes / best;
}

double MeasurePeakFlops(absl::string_view name, KernelContext& ctx) {
  const PeakLoop loop = LoopOf(name);
  if (loop == nullptr) return 0;
  double best = 0;
  for (int pass = 0; pass < 8; ++pass) {
    std::atomic<double> operations{0};
    const auto start = SteadyClock::now();
    ctx.threads().ParallelFor(ctx.threads().num_threads(), [&](int64_t, int64_t, int) {
      operations.fetch_add(loop(1'000'000));
    });
    best = std::max(best, operations.load() / SecondsSince(start));
  }
  return best;
}

}  // namespace oneai::kernels

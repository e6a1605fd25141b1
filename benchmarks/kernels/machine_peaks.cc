#include "benchmarks/kernels/machine_peaks.h"

#include <emmintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "kernels/cpu/cpu_info.h"

namespace oneai::kernels {
namespace {

using SteadyClock = std::chrono::steady_clock;

double SecondsSince(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

// 1 KiB ahead is what one core of every processor tried so far liked best; no prefetch comes within
// 3 % of it.
uint64_t ReadAll(const std::byte* begin, const std::byte* end) {
  constexpr int64_t kAhead = 1024;
  __m128i sum[4] = {};
  for (const std::byte* p = begin; p < end; p += 128) {
    _mm_prefetch(p + kAhead, _MM_HINT_T0);
    _mm_prefetch(p + kAhead + 64, _MM_HINT_T0);
    for (int i = 0; i < 8; ++i) {
      sum[i % 4] =
          _mm_xor_si128(sum[i % 4], _mm_load_si128(reinterpret_cast<const __m128i*>(p) + i));
    }
  }
  const __m128i all = _mm_xor_si128(_mm_xor_si128(sum[0], sum[1]), _mm_xor_si128(sum[2], sum[3]));
  return static_cast<uint64_t>(_mm_cvtsi128_si64(all));
}

constexpr size_t kReadBytes = size_t{1} << 30, kReadPiece = size_t{64} << 20, kPage = 4096,
                 kHugePage = size_t{2} << 20;

// Each thread visits its part of a piece.
template <typename Visit>
void ForPages(KernelContext& ctx, std::byte* piece, Visit visit) {
  ctx.threads().ParallelFor(kReadPiece / kPage, [&](int64_t begin, int64_t end, int) {
    visit(piece + begin * kPage, piece + end * kPage);
  });
}

struct Unit {
  absl::string_view name;
  bool (*is_supported)(const CpuFeatures&);
  PeakLoop loop;
};
constexpr Unit kFp32Units[] = {
    {"avx512", [](const CpuFeatures& f) { return f.avx512; }, PeakLoopAvx512F32},
    {"avx2", [](const CpuFeatures& f) { return f.avx2; }, PeakLoopAvx2F32}};
constexpr Unit kBf16Units[] = {
    {"amx_bf16", [](const CpuFeatures& f) { return f.amx_bf16; }, PeakLoopAmxBf16},
    {"avx512_bf16", [](const CpuFeatures& f) { return f.avx512_bf16; }, PeakLoopAvx512Bf16}};
constexpr Unit kInt8Units[] = {
    {"amx_int8", [](const CpuFeatures& f) { return f.amx_int8; }, PeakLoopAmxInt8},
    {"avx512_vnni", [](const CpuFeatures& f) { return f.avx512_vnni; }, PeakLoopAvx512Vnni}};

// Passes of about 2 ms: long against the start of a loop on the pool, short against the time slices
// that other processes take on a shared machine.
double MeasureLoop(PeakLoop loop, KernelContext& ctx, double seconds) {
  constexpr long kIterations = 200'000;
  double best = 0;
  const auto begin = SteadyClock::now();
  do {
    std::atomic<double> operations{0};
    const auto start = SteadyClock::now();
    ctx.threads().ParallelFor(ctx.threads().num_threads(), [&](int64_t, int64_t, int) {
      operations.fetch_add(loop(kIterations));
    });
    best = std::max(best, operations.load() / SecondsSince(start));
  } while (SecondsSince(begin) < seconds);
  return best;
}

// The first unit of `units`, fastest first, that this processor has.
template <size_t kCount>
double MeasureFirst(const Unit (&units)[kCount], KernelContext& ctx, double seconds,
                    std::string& name) {
  for (const Unit& unit : units) {
    if (!unit.is_supported(GetCpuInfo().features)) continue;
    name = std::string(unit.name);
    return MeasureLoop(unit.loop, ctx, seconds);
  }
  return 0;
}

}  // namespace

MemoryReader::MemoryReader(KernelContext& ctx) : ctx_(ctx) {
  mapped_ = mmap(nullptr, kReadBytes + kHugePage, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped_ == MAP_FAILED) return;
  data_ = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(mapped_) + kHugePage - 1) /
                                       kHugePage * kHugePage);
  madvise(data_, kReadBytes, MADV_HUGEPAGE);
  for (size_t piece = 0; piece < kReadBytes; piece += kReadPiece) {
    ForPages(ctx_, data_ + piece,
             [](std::byte* begin, std::byte* end) { std::memset(begin, 1, end - begin); });
  }
}

MemoryReader::~MemoryReader() {
  if (mapped_ != MAP_FAILED) munmap(mapped_, kReadBytes + kHugePage);
}

std::vector<double> MemoryReader::ReadPieces(double seconds) {
  std::vector<double> rates;
  if (data_ == nullptr) return rates;
  std::atomic<uint64_t> sink{0};
  const auto begin = SteadyClock::now();
  do {
    for (size_t piece = 0; piece < kReadBytes; piece += kReadPiece) {
      const auto start = SteadyClock::now();
      ForPages(ctx_, data_ + piece,
               [&](std::byte* first, std::byte* end) { sink += ReadAll(first, end); });
      rates.push_back(kReadPiece / SecondsSince(start));
    }
  } while (SecondsSince(begin) < seconds);
  return rates;
}

uint64_t ReadOnce(const std::byte* begin, int64_t bytes, int64_t ahead_bytes) {
  __m128i sum[4] = {};
  for (const std::byte *line = begin, *end = begin + bytes; line < end; line += 64) {
    _mm_prefetch(line + ahead_bytes, _MM_HINT_NTA);
    for (int i = 0; i < 4; ++i) {
      sum[i] = _mm_xor_si128(sum[i], _mm_load_si128(reinterpret_cast<const __m128i*>(line) + i));
    }
  }
  const __m128i all = _mm_xor_si128(_mm_xor_si128(sum[0], sum[1]), _mm_xor_si128(sum[2], sum[3]));
  return static_cast<uint64_t>(_mm_cvtsi128_si64(all));
}

double MeasureReadBandwidth(KernelContext& ctx, double seconds) {
  const std::vector<double> rates = MemoryReader(ctx).ReadPieces(seconds);
  return rates.empty() ? 0 : *std::max_element(rates.begin(), rates.end());
}

double MeasurePeakFlops(absl::string_view name, KernelContext& ctx, double seconds) {
  const auto measure = [&](const auto& units) {
    for (const Unit& unit : units) {
      if (unit.name == name && unit.is_supported(GetCpuInfo().features)) {
        return MeasureLoop(unit.loop, ctx, seconds);
      }
    }
    return 0.0;
  };
  return std::max({measure(kFp32Units), measure(kBf16Units), measure(kInt8Units)});
}

MachinePeaks MeasurePeaks(int threads, double seconds) {
  KernelContext ctx(threads);
  MachinePeaks peaks;
  peaks.threads = ctx.threads().num_threads();
  // The registers' ceilings settle within milliseconds; reading a GiB takes the rest.
  peaks.fp32_flops = MeasureFirst(kFp32Units, ctx, seconds / 6, peaks.fp32_unit);
  peaks.bf16_flops = MeasureFirst(kBf16Units, ctx, seconds / 6, peaks.bf16_unit);
  peaks.int8_ops = MeasureFirst(kInt8Units, ctx, seconds / 6, peaks.int8_unit);
  peaks.dram_read_bytes_per_s = MeasureReadBandwidth(ctx, seconds / 2);
  return peaks;
}

}  // namespace oneai::kernels

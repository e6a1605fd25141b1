#include "kernels/gemm/packed_matrix.h"

#include <sys/mman.h>

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace oneai::kernels {
namespace {

constexpr int64_t kPanel = PackedMatrix::kPanelOutputs;
constexpr size_t kHugePageThreshold = size_t{4} << 20;

// Reads element `index` of a source row; memcpy because mapped files promise no alignment.
float ReadElement(const std::byte* row, Dtype dtype, int64_t index) {
  if (dtype == Dtype::kBFloat16) {
    BFloat16 x;
    std::memcpy(&x, row + index * 2, 2);
    return ToFloat(x);
  }
  float x;
  std::memcpy(&x, row + index * 4, 4);
  return x;
}

BFloat16 ReadBf16(const std::byte* row, Dtype dtype, int64_t index) {
  if (dtype == Dtype::kBFloat16) {
    BFloat16 x;
    std::memcpy(&x, row + index * 2, 2);
    return x;
  }
  return ToBFloat16(ReadElement(row, dtype, index));
}

void PackRowBf16(const std::byte* row, Dtype from, int64_t k, int64_t lane, std::byte* panel) {
  auto* out = reinterpret_cast<BFloat16*>(panel) + lane * 2;
  for (int64_t i = 0; i + 1 < k; i += 2) {
    out[i * kPanel] = ReadBf16(row, from, i);
    out[i * kPanel + 1] = ReadBf16(row, from, i + 1);
  }
  if (k % 2 != 0) out[(k - 1) * kPanel] = ReadBf16(row, from, k - 1);
}

void PackRowF32(const std::byte* row, Dtype from, int64_t k, int64_t lane, std::byte* panel) {
  auto* out = reinterpret_cast<float*>(panel) + lane;
  for (int64_t i = 0; i < k; ++i) out[i * kPanel] = ReadElement(row, from, i);
}

absl::Status CheckParts(absl::Span<const MatrixView> parts) {
  if (parts.empty()) return absl::InvalidArgumentError("pack: no matrix given");
  for (const MatrixView& part : parts) {
    if (part.n < 0 || part.k <= 0 || part.row_stride < part.k) {
      return absl::InvalidArgumentError(
          absl::StrCat("pack: a matrix of ", part.n, " x ", part.k, " with rows ", part.row_stride,
                       " elements apart is not a matrix; rows must not overlap"));
    }
    if (part.k != parts.front().k) {
      return absl::InvalidArgumentError(absl::StrCat("pack: stacked matrices need one depth, got ",
                                                     parts.front().k, " and ", part.k));
    }
  }
  return absl::OkStatus();
}

}  // namespace

void PackedMatrix::Unmap::operator()(std::byte* p) const { munmap(p, bytes); }

absl::StatusOr<PackedMatrix> PackedMatrix::Pack(absl::Span<const MatrixView> parts, Dtype dtype,
                                                KernelContext& ctx) {
  if (absl::Status status = CheckParts(parts); !status.ok()) return status;
  PackedMatrix packed;
  packed.dtype_ = dtype;
  packed.k_ = parts.front().k;
  packed.padded_k_ = (packed.k_ + kDepthMultiple - 1) / kDepthMultiple * kDepthMultiple;
  for (const MatrixView& part : parts) packed.n_ += part.n;
  if (packed.n_ == 0) return packed;

  // mmap gives zeroed pages, which is the padding, and lets the kernel back them with huge pages.
  const size_t bytes = packed.bytes();
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("pack: no memory for ", bytes, " bytes of weights"));
  }
  packed.data_ = {static_cast<std::byte*>(memory), Unmap{bytes}};
  if (bytes >= kHugePageThreshold) madvise(memory, bytes, MADV_HUGEPAGE);

  int64_t first_row = 0;
  for (const MatrixView& part : parts) {
    const auto* source = static_cast<const std::byte*>(part.data);
    ctx.threads().ParallelFor(part.n, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        const std::byte* row = source + i * part.row_stride * DtypeBytes(part.dtype);
        const int64_t n = first_row + i;
        std::byte* panel = packed.data_.get() + n / kPanel * packed.panel_bytes();
        const auto pack = dtype == Dtype::kBFloat16 ? PackRowBf16 : PackRowF32;
        pack(row, part.dtype, packed.k_, n % kPanel, panel);
      }
    });
    first_row += part.n;
  }
  return packed;
}

void PackedMatrix::CopyRow(int64_t row, float* out) const {
  const std::byte* data = panel(row / kPanel);
  const int64_t lane = row % kPanel;
  if (dtype_ == Dtype::kBFloat16) {
    const auto* w = reinterpret_cast<const BFloat16*>(data) + lane * 2;
    for (int64_t k = 0; k < k_; ++k) out[k] = ToFloat(w[(k / 2) * 2 * kPanel + k % 2]);
  } else {
    const auto* w = reinterpret_cast<const float*>(data) + lane;
    for (int64_t k = 0; k < k_; ++k) out[k] = w[k * kPanel];
  }
}

}  // namespace oneai::kernels

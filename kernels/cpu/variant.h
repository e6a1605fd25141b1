// One row of an op's dispatch table. Dispatch, test and benchmark iterate the same table, so that
// no variant can exist untested.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/cpu/cpu_info.h"

namespace oneai::kernels {

template <typename Fn>
struct Variant {
  absl::string_view name;
  CpuIsa isa;
  bool (*is_supported)(const CpuFeatures&);
  Fn fn;
};

// Returns the last row that this processor supports at or below `limit`. Tables go from portable to
// fast and start with the reference, which every processor supports.
template <typename Fn>
const Variant<Fn>& PickVariant(absl::Span<const Variant<Fn>> table, CpuIsa limit) {
  const Variant<Fn>* best = &table.front();
  for (const Variant<Fn>& variant : table) {
    if (variant.isa <= limit && variant.is_supported(GetCpuInfo().features)) best = &variant;
  }
  return *best;
}

// The usual values of `is_supported`.
inline bool AnyCpu(const CpuFeatures&) { return true; }
inline bool HasAvx2(const CpuFeatures& f) { return f.avx2; }
inline bool HasAvx512(const CpuFeatures& f) { return f.avx512; }
inline bool HasAvx512Bf16(const CpuFeatures& f) { return f.avx512 && f.avx512_bf16; }
inline bool HasAvx512Vnni(const CpuFeatures& f) { return f.avx512 && f.avx512_vnni; }
inline bool HasAmxBf16(const CpuFeatures& f) { return f.avx512 && f.amx_bf16; }
inline bool HasAmxInt8(const CpuFeatures& f) { return f.avx512 && f.avx512_vnni && f.amx_int8; }

}  // namespace oneai::kernels

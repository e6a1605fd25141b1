// Counter-based random numbers: a pure function of (key, counter), so a draw needs no state and can
// be repeated. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011
// (Philox4x32-10).
#pragma once

#include <array>
#include <cstdint>

namespace oneai::kernels {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

// Ten rounds of Philox over `counter` under `key`.
PhiloxCounter Philox4x32(PhiloxCounter counter, PhiloxKey key);

// A uniform draw in [0, 1) with 53 random bits for draw `position` of stream `seed`.
double UniformAt(uint64_t seed, uint64_t position);

}  // namespace oneai::kernels

// exp() for weights relative to the largest: arguments up to 0, in float64.
#pragma once

#include <bit>
#include <cstdint>

namespace oneai::kernels {

// e^x for x <= 0 with a relative error below 2^-50; 0 below -700 and for NaN. Branch-free, so that
// a loop over it is vectorised even for plain x86-64, and the same on every machine.
//
// x = n ln 2 + r with |r| <= ln(2)/2 in two steps, the Taylor polynomial of degree 13 (remainder
// below 2^-57), and n added to the exponent. Source: Cody and Waite, Software Manual for the
// Elementary Functions, 1980, chapter 6.
inline double ExpNonPositive(double x) {
  constexpr double kShift =
      0x1.8p52;  // adding it rounds to an integer, which the low bits then hold
  const double y = x > -700.0 ? x : -700.0;
  const double shifted = y * 0x1.71547652b82fep0 + kShift;
  const double n = shifted - kShift;
  const double r = (y - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;
  double p = 1.0 / 6227020800;
  p = p * r + 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const uint64_t bits = std::bit_cast<uint64_t>(p) + (std::bit_cast<uint64_t>(shifted) << 52);
  return x > -700.0 ? std::bit_cast<double>(bits) : 0.0;
}

}  // namespace oneai::kernels

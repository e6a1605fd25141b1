// What a fuzz target defines. The same source is a libFuzzer target and, in the default build, a
// test that replays seeds and a fixed number of seeded mutations of them (fuzz_main.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// Feeds one input to the parser. A crash, a sanitizer report or a failed ONEAI_FUZZ_CHECK is a
// finding; an error status is not. Always returns 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

// Well-formed inputs to mutate, and fragments that mutations insert.
struct FuzzSeeds {
  std::vector<std::string> inputs;
  std::vector<std::string> fragments;
};
FuzzSeeds MakeFuzzSeeds();

// Stays on in release builds, unlike assert.
#define ONEAI_FUZZ_CHECK(condition)     \
  do {                                  \
    if (!(condition)) __builtin_trap(); \
  } while (false)

// The target's own seeds for libFuzzer: with ONEAI_FUZZ_SEEDS_DIR set, the binary writes them
// there, one file each, and a dictionary of the fragments beside them (<dir>.dict), and ends.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fuzz/fuzz_target.h"

namespace {

// A line of libFuzzer's dictionary: everything but letters and digits as \xNN.
std::string Quoted(const std::string& fragment) {
  std::string line = "\"";
  for (const char c : fragment) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                          (byte >= 'a' && byte <= 'z');
    char text[8];
    std::snprintf(text, sizeof(text), is_plain ? "%c" : "\\x%02X", byte);
    line += text;
  }
  return line + "\"\n";
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  const char* folder = std::getenv("ONEAI_FUZZ_SEEDS_DIR");
  if (folder == nullptr) return 0;
  const FuzzSeeds seeds = MakeFuzzSeeds();
  std::filesystem::create_directories(folder);
  for (size_t i = 0; i < seeds.inputs.size(); ++i) {
    std::ofstream(std::filesystem::path(folder) / ("seed-" + std::to_string(i)), std::ios::binary)
        << seeds.inputs[i];
  }
  std::ofstream dictionary(std::string(folder) + ".dict");
  for (const std::string& fragment : seeds.fragments) {
    if (!fragment.empty()) dictionary << Quoted(fragment);
  }
  dictionary.close();
  std::exit(0);
}

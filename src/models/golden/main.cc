// oneai-golden DIR...: holds this build against golden fixtures. Exit status 0: all match; 1: one
// does not, or could not be checked; 2: wrong usage.
#include <cstdio>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "models/golden/golden.h"

namespace {

// Prints the fixture's verdict and returns true when it matched.
bool RunAndPrint(const std::string& folder) {
  const absl::StatusOr<oneai::models::golden::Report> report =
      oneai::models::golden::RunFixture(folder);
  if (!report.ok()) {
    std::printf("FAIL %s\n  %s\n", folder.c_str(), report.status().ToString().c_str());
    return false;
  }
  std::printf("%s %s\n%s", report->Passed() ? "ok  " : "FAIL", folder.c_str(),
              report->ToText().c_str());
  return report->Passed();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Compares serving and training with golden fixtures. Prints, per fixture and check, the "
      "largest\n"
      "deviation in units of the tolerance (at most 1 passes).");
  std::vector<std::string> folders;
  app.add_option("DIR", folders,
                 "fixture folders (config.json, weights, golden.json, golden.safetensors)")
      ->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  bool all_match = true;
  for (const std::string& folder : folders) all_match = RunAndPrint(folder) && all_match;
  return all_match ? 0 : 1;
}

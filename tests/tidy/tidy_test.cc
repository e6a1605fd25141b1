// The style rules that a script can check, as tests: include direction, vague names, file length,
// unfinished marks, and what must never be in the tree.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/paths.h"

namespace oneai {
namespace {

namespace fs = std::filesystem;
using ::testing::IsEmpty;

constexpr int kLinesMax = 600;

struct SourceFile {
  std::string path;  // relative to the repo
  std::vector<std::string> lines;
};

fs::path Root() { return testing::DataDir().parent_path().parent_path(); }

std::vector<SourceFile> Sources() {
  static const std::set<std::string> kSuffixes = {".h", ".cc", ".cu", ".ts", ".tsx"};
  std::vector<SourceFile> files;
  for (const char* top :
       {"src", "kernels", "tests", "benchmarks", "dashboard/src", "dashboard/tests"}) {
    if (!fs::exists(Root() / top)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(Root() / top)) {
      if (!entry.is_regular_file() || kSuffixes.count(entry.path().extension().string()) == 0)
        continue;
      if (entry.path().string().find("node_modules") != std::string::npos) continue;
      SourceFile file{fs::relative(entry.path(), Root()).string(), {}};
      std::ifstream stream(entry.path());
      for (std::string line; std::getline(stream, line);) file.lines.push_back(line);
      files.push_back(std::move(file));
    }
  }
  return files;
}

// The package of an include path or of a file: what its first folder (below src/) says.
std::string PackageOf(std::string path) {
  if (path.rfind("src/", 0) == 0) path = path.substr(4);
  return path.substr(0, path.find('/'));
}

// docs/architecture.md: an arrow means "may include".
const std::map<std::string, std::set<std::string>>& Arrows() {
  static const auto* const arrows = new std::map<std::string, std::set<std::string>>{
      {"base", {}},
      {"kernels", {"base"}},
      {"models", {"base", "kernels"}},
      {"serving", {"base", "kernels", "models"}},
      {"model_platform", {"base", "kernels", "models"}},
      {"compute_fabric", {"base"}},
      {"data_gov", {"base"}},
      {"cli", {"base"}},
      {"controller", {"base", "models", "compute_fabric", "model_platform", "data_gov"}}};
  return *arrows;
}

TEST(TidyTest, IncludesFollowTheArrows) {
  // A plugin's C interface is a contract with vendors, not a part of the kernels.
  const std::set<std::string> exceptions = {"kernels/asic/asic_plugin.h"};
  static const std::regex kInclude("^\\s*#include \"([^\"]+)\"");
  std::vector<std::string> wrong;
  for (const SourceFile& file : Sources()) {
    const auto allowed = Arrows().find(PackageOf(file.path));
    if (allowed == Arrows().end()) continue;
    for (const std::string& line : file.lines) {
      std::smatch match;
      if (!std::regex_search(line, match, kInclude)) continue;
      const std::string included = match[1];
      const std::string package = PackageOf(included);
      if (Arrows().count(package) == 0 || package == allowed->first ||
          exceptions.count(included) > 0)
        continue;
      if (allowed->second.count(package) == 0) wrong.push_back(file.path + " includes " + included);
    }
  }
  EXPECT_THAT(wrong, IsEmpty());
}

TEST(TidyTest, OnlyTheTrainerSeesLibTorch) {
  std::vector<std::string> wrong;
  for (const SourceFile& file : Sources()) {
    const std::string package = PackageOf(file.path);
    if (package != "serving" && package != "compute_fabric" && package != "cli" &&
        package != "controller" && package != "data_gov" && package != "base" &&
        package != "kernels") {
      continue;
    }
    for (const std::string& line : file.lines) {
      if (line.find("#include <torch/") != std::string::npos) wrong.push_back(file.path);
    }
  }
  EXPECT_THAT(wrong, IsEmpty());
}

TEST(TidyTest, FilesAreShort) {
  std::vector<std::string> wrong;
  for (const SourceFile& file : Sources()) {
    if (static_cast<int>(file.lines.size()) > kLinesMax) {
      wrong.push_back(file.path + ": " + std::to_string(file.lines.size()) + " lines");
    }
  }
  EXPECT_THAT(wrong, IsEmpty());
}

TEST(TidyTest, FileNamesSayWhatIsInside) {
  static const std::regex kVague("(manager|helper|util|common|misc)[^/]*$", std::regex::icase);
  std::vector<std::string> wrong;
  for (const SourceFile& file : Sources()) {
    if (std::regex_search(file.path, kVague)) wrong.push_back(file.path);
  }
  EXPECT_THAT(wrong, IsEmpty());
}

TEST(TidyTest, NothingIsLeftUnfinished) {
  // Put together from halves so that this file does not find itself.
  const std::vector<std::string> marks = {std::string("TO") + "DO", std::string("FIX") + "ME",
                                          std::string("X") + "XX"};
  std::vector<std::string> wrong;
  for (const SourceFile& file : Sources()) {
    for (size_t i = 0; i < file.lines.size(); ++i) {
      for (const std::string& mark : marks) {
        const std::regex word("\\b" + mark + "\\b");
        if (std::regex_search(file.lines[i], word))
          wrong.push_back(file.path + ":" + std::to_string(i + 1));
      }
    }
  }
  EXPECT_THAT(wrong, IsEmpty());
}

TEST(TidyTest, EveryHeaderIsIncludedOnce) {
  std::vector<std::string> wrong;
  for (const SourceFile& file : Sources()) {
    if (fs::path(file.path).extension() != ".h") continue;
    const bool guarded =
        std::any_of(file.lines.begin(), file.lines.end(), [](const std::string& line) {
          return line == "#pragma once" || line.rfind("#ifndef ", 0) == 0;  // C headers use a macro
        });
    if (!guarded) wrong.push_back(file.path);
  }
  EXPECT_THAT(wrong, IsEmpty());
}

TEST(TidyTest, EveryFolderOfSourcesHasAReadme) {
  std::set<std::string> folders;
  for (const SourceFile& file : Sources()) {
    const std::string package = PackageOf(file.path);
    if (Arrows().count(package) == 0) continue;
    // The package and its first level of folders.
    fs::path folder = package == "kernels" ? fs::path("kernels") : fs::path("src") / package;
    folders.insert(folder.string());
  }
  std::vector<std::string> wrong;
  for (const std::string& folder : folders) {
    if (!fs::exists(Root() / folder / "README.md")) wrong.push_back(folder);
  }
  EXPECT_THAT(wrong, IsEmpty());
}

TEST(TidyTest, NoShellAndNoPickle) {
  static const std::regex kShell("\\b(system|popen)\\s*\\(");
  std::vector<std::string> wrong;
  for (const SourceFile& file : Sources()) {
    if (file.path.rfind("src/", 0) != 0 && file.path.rfind("kernels/", 0) != 0) continue;
    for (size_t i = 0; i < file.lines.size(); ++i) {
      const bool pickle = file.lines[i].find("torch::load") != std::string::npos ||
                          file.lines[i].find("torch::pickle") != std::string::npos;
      if (pickle || std::regex_search(file.lines[i], kShell)) {
        wrong.push_back(file.path + ":" + std::to_string(i + 1) + ": " + file.lines[i]);
      }
    }
  }
  EXPECT_THAT(wrong, IsEmpty());
}

}  // namespace
}  // namespace oneai

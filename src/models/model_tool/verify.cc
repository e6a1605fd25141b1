#include <cmath>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files/files.h"
#include "base/status.h"
#include "models/chat_template/chat_template.h"
#include "models/model_tool/inspection.h"
#include "models/model_tool/model_file_list.h"
#include "models/quantize/row_stream.h"
#include "models/qwen/weights.h"
#include "models/weights/model_files.h"
#include "models/weights/open_weights.h"

namespace oneai::models {
namespace {

constexpr char kSumsFile[] = "SHA256SUMS";
constexpr size_t kFindingsMax = 100;

// Collects what is wrong; a part that cannot be read ends the checks that need it.
class Findings {
 public:
  explicit Findings(Verification& out) : out_(out) {}
  void Add(std::string finding) {
    if (out_.findings.size() < kFindingsMax) out_.findings.push_back(std::move(finding));
  }
  // Whether `status` is OK; a finding otherwise.
  bool Check(const absl::Status& status) {
    if (!status.ok()) Add(std::string(status.message()));
    return status.ok();
  }
  void Passed(std::string what) { out_.passed.push_back(std::move(what)); }
  size_t size() const { return out_.findings.size(); }

 private:
  Verification& out_;
};

void CheckNumbers(const WeightSource& source,
                  const std::function<void(int64_t done, int64_t total)>& progress,
                  Findings& findings) {
  int64_t total = 0, done = 0;
  for (const WeightInfo& info : source.weights()) {
    const RowShape rows = RowsOf(info.shape);
    total += rows.num_rows * rows.row_elements;
  }
  const size_t before = findings.size();
  for (const WeightInfo& info : source.weights()) {
    const RowShape rows = RowsOf(info.shape);
    findings.Check(ForEachRows(
        source, info, 1, [&](int64_t first, absl::Span<const float> values) -> absl::Status {
          done += static_cast<int64_t>(values.size());
          if (progress) progress(done, total);
          float sum = 0;  // 0 unless something is NaN or infinite
          for (const float value : values) sum += value * 0;
          if (sum == 0) return absl::OkStatus();
          size_t at = 0;
          while (std::isfinite(values[at])) ++at;
          const int64_t row = static_cast<int64_t>(at) / rows.row_elements;
          return absl::InvalidArgumentError(
              absl::StrCat("element [", first + row, "][",
                           static_cast<int64_t>(at) % rows.row_elements, "] is ", values[at]));
        }));
  }
  if (findings.size() == before)
    findings.Passed(absl::StrCat("all ", total, " numbers of ", source.weights().size(),
                                 " tensors are finite"));
}

void CheckWeights(const std::filesystem::path& path,
                  const std::function<void(int64_t done, int64_t total)>& progress,
                  Findings& findings) {
  const absl::StatusOr<ModelConfig> config = LoadModelConfigOf(path);
  if (findings.Check(config.status()))
    findings.Passed(absl::StrCat("configuration of a ", ModelFamilyName(config->family)));
  const auto source = OpenWeights(path);
  if (!findings.Check(source.status())) return;
  findings.Passed("every tensor lies within its file, without overlap or hole");
  if (config.ok()) {
    const absl::StatusOr<qwen::StoredWeights> stored = qwen::MatchCheckpoint(*config, **source);
    if (findings.Check(stored.status()))
      findings.Passed(
          absl::StrCat("every tensor of the architecture, with its shape",
                       config->tie_word_embeddings ? " (output tied to embedding)" : ""));
  }
  CheckNumbers(**source, progress, findings);
}

void CheckTokenizer(const std::filesystem::path& path, Findings& findings) {
  absl::StatusOr<TokenizerFiles> files = LoadTokenizerFiles(path);
  if (!findings.Check(files.status())) return;
  const auto chat_template = files->config.chat_template;
  const absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer =
      Tokenizer::Create(std::move(files->spec));
  if (!findings.Check(tokenizer.status())) return;
  findings.Passed(absl::StrCat("tokenizer of ", (*tokenizer)->vocab_size(), " ids"));
  if (const absl::StatusOr<ModelConfig> config = LoadModelConfigOf(path);
      config.ok() && (*tokenizer)->vocab_size() > config->vocab_size)
    findings.Add(absl::StrCat("tokenizer: id ", (*tokenizer)->vocab_size() - 1, " lies beyond the ",
                              config->vocab_size, " rows of the embedding"));
  if (!chat_template) return;
  const absl::StatusOr<ChatTemplate> parsed = ChatTemplate::Parse(*chat_template);
  if (!parsed.ok()) {
    findings.Add(absl::StrCat("chat template: ", parsed.status().message()));
    return;
  }
  ChatTemplateInput input;
  input.messages = {{{"role", "user"}, {"content", "hello"}}};
  input.add_generation_prompt = true;
  if (const auto text = parsed->Render(input); !text.ok()) {
    findings.Add(absl::StrCat("chat template: ", text.status().message()));
  } else {
    findings.Passed("chat template renders a message");
  }
}

void CheckGeneration(const std::filesystem::path& path, Findings& findings) {
  const absl::StatusOr<GenerationConfig> generation = LoadGenerationConfig(path);
  if (generation.ok()) findings.Passed("generation_config.json");
  if (!generation.ok() && generation.status().code() != absl::StatusCode::kNotFound &&
      std::filesystem::is_directory(path))
    findings.Check(generation.status());
}

// Lines of sha256sum(1): 64 hex digits, two spaces (or space and '*'), a file name.
absl::StatusOr<absl::flat_hash_map<std::string, std::string>> ReadSums(
    const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file, 1 << 20));
  absl::flat_hash_map<std::string, std::string> sums;
  int line_number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    if (line.empty()) continue;
    if (line.size() < 67 || line[64] != ' ')
      return absl::InvalidArgumentError(absl::StrCat(file.string(), ": line ", line_number,
                                                     " is not a checksum and a file name"));
    sums[std::string(line.substr(66))] = absl::AsciiStrToLower(line.substr(0, 64));
  }
  return sums;
}

void CheckSums(const std::vector<ModelFile>& files, Checksums checksums, Verification& out,
               Findings& findings) {
  absl::flat_hash_map<std::string, std::string> listed;
  for (const ModelFile& file : files) {
    if (file.path.filename() != kSumsFile) continue;
    auto sums = ReadSums(file.path);
    if (findings.Check(sums.status())) listed = *std::move(sums);
  }
  if (listed.empty() && checksums == Checksums::kIfListed) return;
  const size_t before = findings.size();
  size_t num_compared = 0;
  for (const ModelFile& file : files) {
    const std::string name = file.path.filename().string();
    const auto expected = listed.find(name);
    if (expected == listed.end() && checksums == Checksums::kIfListed) continue;
    const absl::StatusOr<std::string> sum = Sha256HexOfFile(file.path);
    if (!findings.Check(sum.status())) continue;
    out.sha256.emplace_back(name, *sum);
    if (expected == listed.end()) continue;
    ++num_compared;
    if (*sum != expected->second)
      findings.Add(
          absl::StrCat(name, ": SHA-256 is ", *sum, ", ", kSumsFile, " says ", expected->second));
    listed.erase(expected);
  }
  for (const auto& [name, sum] : listed)
    findings.Add(absl::StrCat(name, ": is listed in ", kSumsFile, " but not there"));
  if (num_compared > 0 && findings.size() == before)
    findings.Passed(absl::StrCat(num_compared, " files agree with ", kSumsFile));
}

}  // namespace

absl::StatusOr<Verification> VerifyModel(
    const std::filesystem::path& path, Checksums checksums,
    const std::function<void(int64_t done, int64_t total)>& progress) {
  ASSIGN_OR_RETURN(const std::vector<ModelFile> files, ListModelFiles(path));
  Verification out;
  Findings findings(out);
  CheckWeights(path, progress, findings);
  CheckTokenizer(path, findings);
  CheckGeneration(path, findings);
  CheckSums(files, checksums, out, findings);
  return out;
}

}  // namespace oneai::models

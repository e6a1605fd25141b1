// oneai-model: what `oneai model inspect|verify|convert|quantize|init` runs. Works on files, needs
// no fabric, links no LibTorch. Exit status 0: done, nothing wrong; 1: findings, or failed; 2:
// wrong usage; 3: no such model; 5: the target is there already.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "models/config/published.h"
#include "models/model_tool/inspection.h"
#include "models/quantize/export.h"
#include "models/quantize/random_checkpoint.h"

namespace oneai::models {
namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return 3;
    case absl::StatusCode::kAlreadyExists:
      return 5;
    default:
      return 1;
  }
}

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A line on stderr that grows: in place on a terminal, every tenth elsewhere.
class ProgressLine {
 public:
  explicit ProgressLine(std::string verb) : verb_(std::move(verb)) {}
  std::function<void(int64_t, int64_t)> Callback() {
    return [this](int64_t done, int64_t total) { Show(done, total); };
  }
  ~ProgressLine() {
    if (shown_ && terminal_) std::fputs("\r\033[K", stderr);
  }

 private:
  void Show(int64_t done, int64_t total) {
    const int percent = total > 0 ? static_cast<int>(100 * done / total) : 100;
    const double now = Seconds();
    if (terminal_ ? now < next_ : percent < next_percent_) return;
    next_ = now + 0.2;
    next_percent_ = percent + 10;
    shown_ = true;
    const double elapsed = now - start_;
    std::fprintf(stderr, "%s%s: %d %% of %.2f G numbers, %.0f M/s%s", terminal_ ? "\r" : "",
                 verb_.c_str(), percent, static_cast<double>(total) / 1e9,
                 elapsed > 0 ? static_cast<double>(done) / elapsed / 1e6 : 0,
                 terminal_ ? "" : "\n");
    std::fflush(stderr);
  }

  const std::string verb_;
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
  const double start_ = Seconds();
  double next_ = 0;
  int next_percent_ = 10;
  bool shown_ = false;
};

struct Arguments {
  std::string path, target, type, to, config, tokenizer, name;
  uint64_t seed = 1;
  int64_t group_size = 0;
  int threads = 0;
  bool json = false, tensors = false, checksums = false;
};

int Inspect(const Arguments& arguments) {
  const auto inspection = InspectModel(
      arguments.path, arguments.tensors ? TensorList::kInclude : TensorList::kLeaveOut);
  if (!inspection.ok()) return Fail(inspection.status());
  if (arguments.json) {
    std::cout << inspection->dump(2, ' ', false, OrderedJson::error_handler_t::replace) << "\n";
  } else {
    std::cout << InspectionText(*inspection);
  }
  return 0;
}

int Verify(const Arguments& arguments) {
  absl::StatusOr<Verification> result = [&] {
    ProgressLine progress("verify");
    return VerifyModel(arguments.path,
                       arguments.checksums ? Checksums::kCompute : Checksums::kIfListed,
                       progress.Callback());
  }();
  if (!result.ok()) return Fail(result.status());
  if (arguments.json) {
    OrderedJson out = {{"path", arguments.path},
                       {"ok", result->findings.empty()},
                       {"findings", result->findings},
                       {"passed", result->passed}};
    for (const auto& [file, sum] : result->sha256) out["sha256"][file] = sum;
    std::cout << out.dump(2, ' ', false, OrderedJson::error_handler_t::replace) << "\n";
  } else {
    for (const std::string& line : result->passed) std::cout << "ok       " << line << "\n";
    for (const std::string& line : result->findings) std::cout << "FINDING  " << line << "\n";
    for (const auto& [file, sum] : result->sha256) std::cout << sum << "  " << file << "\n";
  }
  return result->findings.empty() ? 0 : 1;
}

int Report(const Arguments& arguments, double start, const absl::StatusOr<ExportReport>& report) {
  if (!report.ok()) return Fail(report.status());
  const double seconds = Seconds() - start;
  if (arguments.json) {
    std::cout << OrderedJson{{"target", arguments.target},
                             {"tensors", report->num_tensors},
                             {"parameters", report->num_elements},
                             {"bytes", report->bytes},
                             {"kept", report->kept},
                             {"seconds", seconds}}
                     .dump(2)
              << "\n";
    return 0;
  }
  std::cout << absl::StrFormat("%s: %d tensors, %d parameters, %.1f MB in %.1f s (%.0f MB/s)\n",
                               arguments.target, report->num_tensors, report->num_elements,
                               static_cast<double>(report->bytes) / 1e6, seconds,
                               static_cast<double>(report->bytes) / 1e6 / seconds);
  for (const std::string& kept : report->kept) std::cout << "kept: " << kept << "\n";
  return 0;
}

std::optional<DType> PlainDType(absl::string_view type) {
  const std::string name = absl::AsciiStrToLower(type);
  if (name == "f32" || name == "float32") return DType::kF32;
  if (name == "f16" || name == "float16") return DType::kF16;
  if (name == "bf16" || name == "bfloat16") return DType::kBF16;
  return std::nullopt;
}

int Convert(const Arguments& arguments) {
  ProgressLine progress("convert");
  const ExportOptions options{
      .num_threads = arguments.threads, .name = arguments.name, .progress = progress.Callback()};
  const double start = Seconds();
  if (arguments.to == "gguf") {
    const std::optional<BlockType> type = ParseBlockType(absl::string_view(arguments.type));
    if (!type)
      return Fail(absl::InvalidArgumentError(
          absl::StrCat("--type ", arguments.type, ": f32, f16, bf16, q8_0, q4_0, q4_k, q6_k")));
    return Report(arguments, start, ExportGguf(arguments.path, arguments.target, *type, options));
  }
  const std::optional<DType> dtype = PlainDType(arguments.type);
  if (!dtype)
    return Fail(absl::InvalidArgumentError(absl::StrCat(
        "--type ", arguments.type,
        ": safetensors take bf16, f16 or f32; `oneai model quantize` makes int8, int4 and fp8")));
  return Report(arguments, start, ExportFolder(arguments.path, arguments.target, *dtype, options));
}

int Quantize(Arguments arguments) {
  ProgressLine progress("quantize");
  const ExportOptions options{
      .num_threads = arguments.threads, .name = arguments.name, .progress = progress.Callback()};
  const double start = Seconds();
  const std::string type = absl::AsciiStrToLower(arguments.type);
  std::optional<FolderQuantization> folder;
  if (type == "int8" || type == "gptq-int8") folder = FolderQuantization::kInt8;
  if (type == "int4" || type == "gptq-int4") folder = FolderQuantization::kInt4;
  if (type == "fp8") folder = FolderQuantization::kFloat8;
  if (folder)
    return Report(arguments, start,
                  ExportQuantizedFolder(arguments.path, arguments.target, *folder,
                                        arguments.group_size, options));
  const std::optional<BlockType> block = ParseBlockType(absl::string_view(arguments.type));
  if (!block || !TraitsOf(*block).quantized())
    return Fail(absl::InvalidArgumentError(
        absl::StrCat("--type ", arguments.type,
                     ": int8, int4, fp8 (a folder) or q8_0, q4_0, q4_k, q6_k (a .gguf file)")));
  return Report(arguments, start, ExportGguf(arguments.path, arguments.target, *block, options));
}

int Init(const Arguments& arguments) {
  const absl::StatusOr<ModelConfig> config = [&]() -> absl::StatusOr<ModelConfig> {
    if (absl::EndsWith(arguments.config, ".json")) {
      const absl::StatusOr<std::string> text = ReadSmallFile(arguments.config, 1 << 20);
      if (!text.ok()) return text.status();
      return ParseModelConfig(*text, arguments.config);
    }
    return PublishedConfig(arguments.config);
  }();
  if (!config.ok()) return Fail(config.status());
  ProgressLine progress("init");
  ExportOptions options;
  options.num_threads = arguments.threads;
  options.progress = progress.Callback();
  const double start = Seconds();
  return Report(arguments, start,
                WriteRandomCheckpoint(*config, arguments.seed, arguments.tokenizer,
                                      arguments.target, options));
}

void AddWriting(CLI::App& command, Arguments& arguments) {
  command.add_option("SRC", arguments.path, "model folder or .gguf file")->required();
  command.add_option("DST", arguments.target, "what to write; must not exist")->required();
  command.add_option("--threads", arguments.threads, "default: every processor");
  command.add_option("--name", arguments.name, "general.name of a GGUF file");
}

int Main(int argc, char** argv) {
  Arguments arguments;
  int status = 2;
  CLI::App app(
      "oneai model - files of models: look at them, check them, write them in other forms");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_flag("--json", arguments.json, "print JSON");
  CLI::App* inspect = app.add_subcommand("inspect", "what a model's files hold; loads no weights");
  inspect->add_option("PATH", arguments.path, "model folder or .gguf file")->required();
  inspect->add_flag("--tensors", arguments.tensors, "list every tensor");
  inspect->callback([&] { status = Inspect(arguments); });
  CLI::App* verify = app.add_subcommand("verify", "check every byte; exit status 1 on findings");
  verify->add_option("PATH", arguments.path, "model folder or .gguf file")->required();
  verify->add_flag("--checksums", arguments.checksums, "list the SHA-256 of every file");
  verify->callback([&] { status = Verify(arguments); });
  CLI::App* convert = app.add_subcommand("convert", "write a model as safetensors or GGUF");
  AddWriting(*convert, arguments);
  convert->add_option("--to", arguments.to, "safetensors (a folder) or gguf (a file)")
      ->required()
      ->check(CLI::IsMember({"safetensors", "gguf"}));
  arguments.type = "bf16";
  convert->add_option("--type", arguments.type, "bf16 (default), f16, f32; gguf also q8_0 ...");
  convert->callback([&] { status = Convert(arguments); });
  CLI::App* quantize = app.add_subcommand("quantize", "round a model's matrices to fewer bits");
  AddWriting(*quantize, arguments);
  quantize
      ->add_option("--type", arguments.type,
                   "int8, int4, fp8 (a folder) or q8_0, q4_0, q4_k, q6_k (a .gguf file)")
      ->required();
  quantize->add_option("--group-size", arguments.group_size,
                       "inputs that share a scale, of int4 (default: 128, 64 or 32)");
  quantize->callback([&] { status = Quantize(arguments); });
  CLI::App* init = app.add_subcommand("init", "write a checkpoint with random weights");
  init->add_option(
          "--config", arguments.config,
          absl::StrCat("a config.json, or one of: ", absl::StrJoin(PublishedModelNames(), ", ")))
      ->required();
  init->add_option("--seed", arguments.seed, "default 1");
  init->add_option("--tokenizer", arguments.tokenizer, "folder whose tokenizer is copied");
  init->add_option("--threads", arguments.threads, "default: every processor");
  init->add_option("DIR", arguments.target, "folder to write; must not exist")->required();
  init->callback([&] { status = Init(arguments); });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return status;
}

}  // namespace
}  // namespace oneai::models

int main(int argc, char** argv) { return oneai::models::Main(argc, argv); }

#include "models/quantize/model_folder_files.h"

#include "base/files/files.h"
#include "base/status.h"
#include "models/tokenizer/tokenizer_files.h"
#include "models/weights/model_files.h"
#include "models/weights/open_weights.h"

namespace oneai::models {
namespace {

constexpr const char* kCompanions[] = {"generation_config.json",
                                       "tokenizer.json",
                                       "tokenizer_config.json",
                                       "vocab.json",
                                       "merges.txt",
                                       "chat_template.jinja",
                                       "special_tokens_map.json",
                                       "added_tokens.json",
                                       "qwen.tiktoken",
                                       "LICENSE",
                                       "README.md"};
constexpr int64_t kCompanionBytesMax = 256 << 20;

}  // namespace

absl::Status WriteCompanionFiles(const std::filesystem::path& source, const Json& config,
                                 const std::filesystem::path& folder) {
  RETURN_IF_ERROR(WriteFileAtomically(folder / "config.json", config.dump(2) + "\n"));
  ASSIGN_OR_RETURN(const std::filesystem::path gguf, FindGguf(source));
  if (!gguf.empty()) {
    ASSIGN_OR_RETURN(const TokenizerFiles files, LoadTokenizerFiles(source));
    return SaveTokenizer(files.spec, files.config, folder);
  }
  for (const char* name : kCompanions) {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(source / name, ignored)) continue;
    ASSIGN_OR_RETURN(const std::string content, ReadFile(source / name, kCompanionBytesMax));
    RETURN_IF_ERROR(WriteFileAtomically(folder / name, content));
  }
  return absl::OkStatus();
}

}  // namespace oneai::models

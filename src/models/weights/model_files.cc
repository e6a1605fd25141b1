#include "models/weights/model_files.h"

#include "base/status.h"
#include "models/gguf/gguf_config.h"
#include "models/gguf/gguf_tokenizer.h"
#include "models/tokenizer/tokenizer_files.h"
#include "models/weights/open_weights.h"

namespace oneai::models {

absl::StatusOr<Json> LoadConfigJson(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::filesystem::path gguf, FindGguf(path));
  if (gguf.empty()) return ReadJsonFile(path / "config.json");
  ASSIGN_OR_RETURN(const auto file, GgufFile::Open(gguf));
  return ConfigFromGguf(*file);
}

absl::StatusOr<ModelConfig> LoadModelConfigOf(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::filesystem::path gguf, FindGguf(path));
  if (gguf.empty()) return LoadModelConfig(path);
  ASSIGN_OR_RETURN(const Json config, LoadConfigJson(gguf));
  return ParseModelConfig(config.dump(), gguf.string());
}

absl::StatusOr<TokenizerFiles> LoadTokenizerFiles(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::filesystem::path gguf, FindGguf(path));
  TokenizerFiles files;
  if (!gguf.empty()) {
    ASSIGN_OR_RETURN(const auto file, GgufFile::Open(gguf));
    ASSIGN_OR_RETURN(GgufTokenizer found, TokenizerFromGguf(file->header, file->path));
    files.spec = std::move(found.spec);
    files.config = std::move(found.config);
    return files;
  }
  ASSIGN_OR_RETURN(files.spec, LoadTokenizerSpec(path));
  absl::StatusOr<TokenizerConfig> config = LoadTokenizerConfig(path);
  if (config.ok()) {
    files.config = *std::move(config);
  } else if (config.status().code() != absl::StatusCode::kNotFound) {
    return config.status();
  }
  return files;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizerOf(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(TokenizerFiles files, LoadTokenizerFiles(path));
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Create(std::move(files.spec));
  return tokenizer.ok() ? std::move(tokenizer) : Annotate(tokenizer.status(), path.string());
}

}  // namespace oneai::models

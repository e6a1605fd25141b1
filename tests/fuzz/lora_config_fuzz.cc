#include <cmath>

#include "models/lora/lora_config.h"
#include "tests/fuzz/fuzz_target.h"

using namespace oneai::models;  // NOLINT: a test's main namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = ParseLoraConfig(text, "fuzz");
  if (!config.ok()) return 0;
  // What is accepted selects something, with a rank and a finite scale for every module.
  ONEAI_FUZZ_CHECK(config->all_linear || !config->target_modules.empty());
  for (const absl::string_view module : {"model.layers.0.self_attn.q_proj", "lm_head", ""}) {
    ONEAI_FUZZ_CHECK(RankOf(*config, module) >= 1);
    ONEAI_FUZZ_CHECK(std::isfinite(ScaleOf(*config, module)) && ScaleOf(*config, module) > 0);
    SelectsModule(*config, module);
  }
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  FuzzSeeds seeds;
  seeds.inputs.push_back(
      R"({"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"],
          "bias": "none", "use_rslora": true, "use_dora": false, "modules_to_save": null,
          "rank_pattern": {"layers.1.self_attn.q_proj": 2}, "alpha_pattern": {"v_proj": 3}})");
  seeds.inputs.push_back(R"({"peft_type": "LORA", "target_modules": "all-linear"})");
  seeds.fragments = {"null",
                     "-1",
                     "1e308",
                     "0",
                     "9223372036854775808",
                     "[]",
                     "{}",
                     "true",
                     "\"\"",
                     "\"q_proj\"",
                     "\".*\"",
                     "[\".\"]",
                     "\"use_dora\": true,",
                     "\"rank_pattern\": {},",
                     "\"r\":1,",
                     "\xff"};
  return seeds;
}

#include "serving/replica/replica_settings.h"

#include <map>

#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::StatusIs;

TEST(ReplicaSettingsTest, ReadsEveryKey) {
  ASSERT_OK_AND_ASSIGN(const ReplicaSettings s, ParseReplicaSettings(R"({
      "model_dir": "/models/a", "model_name": "a", "model_version": "retail/a@2", "dtype": "f32",
      "max_context_tokens": 1024,
      "max_running_sequences": 4, "max_waiting_requests": 9, "max_batch_tokens": 64,
      "kv_cache_bytes": "16MiB", "num_threads": 2, "kv_cache": "int8", "task": "rerank",
      "prefix_cache": false, "speculation": "prompt_lookup", "adapters": {"law": "/a"}})",
                                                                     "config.json"));
  EXPECT_EQ(s.model_dir, "/models/a");
  EXPECT_EQ(s.model_version, "retail/a@2");
  EXPECT_EQ(s.dtype, models::ComputeDtype::kF32);
  EXPECT_EQ(s.max_context_tokens, 1024);
  EXPECT_EQ(s.max_running_sequences, 4);
  EXPECT_EQ(s.max_waiting_requests, 9);
  EXPECT_EQ(s.max_batch_tokens, 64);
  EXPECT_EQ(s.kv_cache_bytes, 16 << 20);
  EXPECT_EQ(s.num_threads, 2);
  EXPECT_EQ(s.kv_cache, models::KvCacheFormat::kInt8);
  EXPECT_EQ(s.task, ModelTask::kRerank);
  EXPECT_FALSE(s.prefix_cache);
  EXPECT_EQ(s.speculation, Speculation::kPromptLookup);
  EXPECT_EQ(s.adapters.at("law"), "/a");
}

TEST(ReplicaSettingsTest, GuessesAreAutomaticUnlessSaid) {
  const auto speculation = [](const std::string& more) {
    return ParseReplicaSettings(R"({"model_dir": "m", "model_name": "a")" + more + "}", "c")
        ->speculation;
  };
  EXPECT_EQ(speculation(""), Speculation::kAuto);
  EXPECT_EQ(speculation(R"(, "speculation": "mtp")"), Speculation::kMtp);
  EXPECT_EQ(speculation(R"(, "speculation": "off")"), Speculation::kOff);
}

TEST(ReplicaSettingsTest, WhatDoesNotGoTogetherIsNamed) {
  const auto refused = [](const std::string& more, const char* text) {
    EXPECT_THAT(ParseReplicaSettings(R"({"model_dir": "m", "model_name": "a", )" + more + "}", "c"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  };
  refused(R"("quantize": "int8", "dtype": "f32")", "needs dtype bf16");
  refused(R"("speculation": "draft")", "belong together");
  refused(R"("draft_model_dir": "d")", "belong together");
  refused(R"("speculation": "medusa")", "mtp");
  refused(R"("quantize": "int3")", "int4");
}

TEST(ReplicaSettingsTest, UnknownKeyIsNamedWithTheNearest) {
  EXPECT_THAT(ParseReplicaSettings(R"({"model_dir": "m", "model_nam": "a"})", "config.json"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("model_nam"), HasSubstr("model_name"))));
}

TEST(ReplicaSettingsTest, WrongValueIsNamed) {
  EXPECT_THAT(
      ParseReplicaSettings(R"({"model_dir": "m", "model_name": "a", "dtype": "int3"})",
                           "config.json"),
      StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("dtype"), HasSubstr("bf16"))));
  EXPECT_THAT(ParseReplicaSettings(
                  R"({"model_dir": "m", "model_name": "a", "max_batch_tokens": 0})", "config.json"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("max_batch_tokens")));
}

absl::StatusOr<ReplicaEnvironment> Read(const std::map<std::string, std::string>& variables) {
  return ReadReplicaEnvironment([&](const char* name) -> const char* {
    const auto it = variables.find(name);
    return it == variables.end() ? nullptr : it->second.c_str();
  });
}

TEST(ReplicaEnvironmentTest, ListensOnLoopbackUnlessTold) {
  ASSERT_OK_AND_ASSIGN(const ReplicaEnvironment env, Read({}));
  EXPECT_EQ(env.listen, "127.0.0.1:0");
  EXPECT_FALSE(env.metrics_port.has_value());
}

TEST(ReplicaEnvironmentTest, ReadsATasksVariables) {
  ASSERT_OK_AND_ASSIGN(const ReplicaEnvironment env, Read({{"ONEAI_TASK_DIR", "/t"},
                                                           {"ONEAI_ADDRESS", "10.0.0.7"},
                                                           {"ONEAI_PORT_0", "21000"},
                                                           {"ONEAI_PORT_1", "21001"},
                                                           {"ONEAI_READY_FILE", "/t/ready"}}));
  EXPECT_EQ(env.task_dir, "/t");
  EXPECT_EQ(env.listen, "10.0.0.7:21000");
  EXPECT_EQ(env.metrics_port, 21001);
  EXPECT_EQ(env.ready_file, "/t/ready");
}

TEST(ReplicaEnvironmentTest, PortMustBeOne) {
  EXPECT_THAT(Read({{"ONEAI_PORT_0", "70000"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ONEAI_PORT_0")));
}

}  // namespace
}  // namespace oneai::serving

// oneai endpoint ..., oneai usage, oneai infer ...
#include <algorithm>
#include <iostream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/ids.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "oneai/fabric/v1/endpoint.grpc.pb.h"
#include "oneai/inference/v1/inference.grpc.pb.h"

namespace oneai::cli {
namespace {

using fabric::v1::Endpoint;
using fabric::v1::EndpointService;
using inference::v1::InferenceService;

struct DeployFlags {
  std::string name, model, project, dtype = "bf16";
  int replicas = 0;  // 0: one, or the least of a scaled endpoint
  int replicas_min = 0;
  int replicas_max = 0;
  double target_in_flight = 0;
  std::string latency;
  double cpus = 1;
  double memory_gib = 1;
  int max_context_tokens = 0;
  int max_running_sequences = 0;
  std::string quantize, kv_cache, task, speculation, draft_model;
  std::vector<std::string> adapters;  // NAME=REFERENCE
  bool wait = false;
  std::vector<std::string> devices;
};

bool IsScaled(const Endpoint& endpoint) { return endpoint.spec().replicas_max() > 0; }

std::string ScaleWords(const Endpoint& endpoint) {
  if (!IsScaled(endpoint)) return "fixed";
  return absl::StrCat(endpoint.spec().replicas_min(), "-", endpoint.spec().replicas_max());
}

// Why it has as many replicas as it has, and why some are missing.
std::string WhyWords(const Endpoint& endpoint) {
  if (endpoint.scaling_reason().empty()) return endpoint.message();
  if (endpoint.message().empty()) return endpoint.scaling_reason();
  return absl::StrCat(endpoint.scaling_reason(), "; ", endpoint.message());
}

void PrintEndpoint(const Endpoint& endpoint) {
  std::cout << "name:   " << Printable(endpoint.spec().name())
            << "\nmodel:  " << Printable(endpoint.resolved_model())
            << "\nstate:  " << EndpointState_Name(endpoint.state())
            << "\njob:    " << endpoint.job_id() << "\nwanted: " << endpoint.replicas_wanted()
            << " (" << ScaleWords(endpoint) << ")\n";
  if (!endpoint.scaling_reason().empty())
    std::cout << "why:    " << Printable(endpoint.scaling_reason()) << "\n";
  if (!endpoint.message().empty()) std::cout << "note:   " << Printable(endpoint.message()) << "\n";
  Table table({"REPLICA", "NODE", "ADDRESS", "DEVICE", "READY"});
  for (const fabric::v1::Replica& replica : endpoint.replicas()) {
    table.Add({absl::StrCat(replica.index()), replica.node(), replica.address(), replica.device(),
               replica.ready() ? "yes" : "no"});
  }
  std::cout << table.ToString();
}

absl::StatusOr<Endpoint> GetEndpoint(const Session& session, const std::string& name) {
  fabric::v1::GetEndpointRequest request;
  request.set_name(name);
  return session.Call<EndpointService>(&EndpointService::Stub::GetEndpoint, request);
}

int WaitUntilServing(const Session& session, const std::string& name) {
  const absl::Time deadline = absl::Now() + absl::Minutes(5);
  std::string why;
  while (absl::Now() < deadline) {
    const absl::StatusOr<Endpoint> endpoint = GetEndpoint(session, name);
    if (endpoint.ok()) why = endpoint->message();
    if (!endpoint.ok() && !absl::IsUnavailable(endpoint.status())) return Fail(endpoint.status());
    if (endpoint.ok() && endpoint->state() == fabric::v1::SERVING) {
      PrintEndpoint(*endpoint);
      return kExitOk;
    }
    absl::SleepFor(absl::Milliseconds(200));
  }
  return Fail(absl::DeadlineExceededError(
      absl::StrCat("endpoint ", name, " is not serving after 5 minutes",
                   why.empty() ? "" : absl::StrCat(" (", Printable(why), ")"),
                   "; `oneai endpoint get ", name, "` follows it")));
}

// NAME=REFERENCE
fabric::v1::EndpointAdapter ParseAdapter(const std::string& given) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(given, absl::MaxSplits('=', 1));
  fabric::v1::EndpointAdapter adapter;
  adapter.set_name(parts.first);
  adapter.set_model(parts.second);
  return adapter;
}

std::string CheckAdapterWord(const std::string& given) {
  return given.find('=') == std::string::npos ? "must be NAME=REFERENCE" : "";
}

int Deploy(const CommandContext& context, const DeployFlags& flags) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  fabric::v1::DeployEndpointRequest request;
  request.set_request_id(NewId("deploy-"));
  fabric::v1::EndpointSpec& spec = *request.mutable_spec();
  spec.set_name(flags.name);
  spec.set_model(flags.model);
  spec.set_project(flags.project);
  const bool scaled = flags.replicas_min > 0 || flags.replicas_max > 0;
  spec.set_replicas(flags.replicas > 0 || scaled ? flags.replicas : 1);
  spec.set_replicas_min(scaled ? std::max(flags.replicas_min, 1) : 0);
  spec.set_replicas_max(flags.replicas_max);
  spec.set_target_in_flight(flags.target_in_flight);
  fabric::v1::LatencyClass latency = fabric::v1::LATENCY_CLASS_UNSPECIFIED;
  if (!flags.latency.empty())
    fabric::v1::LatencyClass_Parse(absl::AsciiStrToUpper(flags.latency), &latency);
  spec.set_latency_class(latency);
  spec.set_dtype(flags.dtype);
  spec.set_max_context_tokens(flags.max_context_tokens);
  spec.set_max_running_sequences(flags.max_running_sequences);
  spec.mutable_resources()->set_cpu_milli(static_cast<int64_t>(flags.cpus * 1000));
  spec.mutable_resources()->set_memory_bytes(static_cast<int64_t>(flags.memory_gib * (1LL << 30)));
  spec.set_quantize(flags.quantize);
  spec.set_kv_cache(flags.kv_cache);
  spec.set_task(flags.task);
  spec.set_speculation(flags.draft_model.empty() ? flags.speculation : "draft");
  spec.set_draft_model(flags.draft_model);
  for (const std::string& given : flags.adapters) *spec.add_adapters() = ParseAdapter(given);
  for (const std::string& kind : flags.devices) {
    fabric::v1::DeviceRequest& device = *spec.mutable_resources()->add_devices();
    device.set_kind(kind);
    device.set_count(1);
  }
  const auto endpoint =
      session->Call<EndpointService>(&EndpointService::Stub::DeployEndpoint, request);
  if (!endpoint.ok()) return Fail(endpoint.status());
  if (flags.wait) return WaitUntilServing(*session, flags.name);
  if (context.json()) {
    std::cout << ToJson(*endpoint);
  } else {
    PrintEndpoint(*endpoint);
  }
  return kExitOk;
}

void AddDeploy(CLI::App& endpoint, CommandContext& context) {
  auto flags = std::make_shared<DeployFlags>();
  CLI::App* deploy = AddCommand(endpoint, context, "deploy",
                                "serve a registered model; again with other values changes it",
                                [&context, flags] { return Deploy(context, *flags); });
  deploy->add_option("name", flags->name, "what clients call the model")->required();
  deploy->add_option("--model", flags->model, "registry reference: name, name@version, name@alias")
      ->required();
  deploy->add_option("--project", flags->project, "<business unit>/<project>")->required();
  deploy->add_option("--replicas", flags->replicas, "replicas; of a scaled endpoint, to begin with")
      ->check(CLI::Range(1, 1000));
  deploy->add_option("--replicas-min", flags->replicas_min, "with --replicas-max: scaled by load")
      ->check(CLI::Range(1, 1000));
  deploy->add_option("--replicas-max", flags->replicas_max, "never more than these")
      ->check(CLI::Range(1, 1000));
  deploy
      ->add_option("--target-in-flight", flags->target_in_flight,
                   "requests per replica that scaling aims at")
      ->check(CLI::PositiveNumber);
  deploy
      ->add_option("--latency", flags->latency,
                   "interactive, standard or batch: on the cheapest devices that are fast enough")
      ->check(CLI::IsMember({"interactive", "standard", "batch"}));
  deploy->add_option("--cpus", flags->cpus, "cores of a replica")->check(CLI::PositiveNumber);
  deploy->add_option("--memory-gib", flags->memory_gib, "GiB of a replica")
      ->check(CLI::PositiveNumber);
  deploy->add_option("--device", flags->devices,
                     "device kinds it may run on, best first; they win over --latency");
  deploy->add_option("--dtype", flags->dtype, "bf16 or f32")->check(CLI::IsMember({"bf16", "f32"}));
  deploy
      ->add_option("--quantize", flags->quantize, "weights as int8 or int4 (docs/serving.md: cost)")
      ->check(CLI::IsMember({"none", "int8", "int4"}));
  deploy->add_option("--kv-cache", flags->kv_cache, "keys and values as bf16, int8 or f32")
      ->check(CLI::IsMember({"auto", "bf16", "int8", "f32"}));
  deploy->add_option("--task", flags->task, "what the model is for")
      ->check(CLI::IsMember({"auto", "generate", "embed", "rerank", "classify"}));
  deploy
      ->add_option("--speculation", flags->speculation, "guess tokens ahead; answers stay the same")
      ->check(CLI::IsMember({"auto", "off", "prompt_lookup", "mtp"}));
  deploy->add_option("--draft-model", flags->draft_model, "a small model that guesses (registry)");
  deploy
      ->add_option("--adapter", flags->adapters,
                   "NAME=REFERENCE: a LoRA adapter, called as <endpoint>:NAME")
      ->check(CheckAdapterWord);
  deploy->add_option("--max-context-tokens", flags->max_context_tokens, "0: the model's own");
  deploy->add_option("--max-running-sequences", flags->max_running_sequences,
                     "0: the engine's default");
  deploy->add_flag("--wait", flags->wait, "wait until all replicas serve");
}

int PrintAdapters(const CommandContext& context, const Endpoint& endpoint) {
  if (context.json()) {
    std::cout << ToJson(endpoint);
    return kExitOk;
  }
  Table table({"ADAPTER", "MODEL", "CALLED AS"});
  for (const fabric::v1::EndpointAdapter& adapter : endpoint.spec().adapters()) {
    const bool is_resolved = !adapter.resolved_model().empty();
    table.Add({adapter.name(), is_resolved ? adapter.resolved_model() : adapter.model(),
               absl::StrCat(endpoint.spec().name(), ":", adapter.name())});
  }
  std::cout << table.ToString();
  return kExitOk;
}

int ChangeAdapters(const CommandContext& context,
                   const fabric::v1::ChangeAdaptersRequest& request) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto endpoint =
      session->Call<EndpointService>(&EndpointService::Stub::ChangeAdapters, request);
  if (!endpoint.ok()) return Fail(endpoint.status());
  return PrintAdapters(context, *endpoint);
}

void AddAdapterCommands(CLI::App& endpoint, CommandContext& context) {
  CLI::App& adapter = *endpoint.add_subcommand(
      "adapter", "LoRA adapters of a serving endpoint, changed without a restart");
  adapter.require_subcommand(1);
  auto name = std::make_shared<std::string>();
  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* add = AddCommand(adapter, context, "add",
                             "load adapters at all replicas; one that does not fit changes nothing",
                             [&context, name, words] {
                               fabric::v1::ChangeAdaptersRequest request;
                               request.set_endpoint(*name);
                               for (const std::string& word : *words)
                                 *request.add_add() = ParseAdapter(word);
                               return ChangeAdapters(context, request);
                             });
  add->add_option("endpoint", *name, "endpoint")->required();
  add->add_option("adapters", *words, "NAME=REFERENCE, called as <endpoint>:NAME")
      ->required()
      ->check(CheckAdapterWord);
  CLI::App* remove = AddCommand(adapter, context, "remove",
                                "new requests are refused; those that run end as they began",
                                [&context, name, words] {
                                  fabric::v1::ChangeAdaptersRequest request;
                                  request.set_endpoint(*name);
                                  request.mutable_remove()->Add(words->begin(), words->end());
                                  return ChangeAdapters(context, request);
                                });
  remove->add_option("endpoint", *name, "endpoint")->required();
  remove->add_option("adapters", *words, "their names")->required();
  AddCommand(adapter, context, "list", "what an endpoint has",
             [&context, name] {
               const absl::StatusOr<Session> session = context.Open();
               if (!session.ok()) return Fail(session.status());
               const absl::StatusOr<Endpoint> found = GetEndpoint(*session, *name);
               return found.ok() ? PrintAdapters(context, *found) : Fail(found.status());
             })
      ->add_option("endpoint", *name, "endpoint")
      ->required();
}

int ListEndpoints(const CommandContext& context) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto list = session->Call<EndpointService>(&EndpointService::Stub::ListEndpoints,
                                                   fabric::v1::ListEndpointsRequest());
  if (!list.ok()) return Fail(list.status());
  if (context.json()) {
    std::cout << ToJson(*list);
    return kExitOk;
  }
  Table table({"NAME", "MODEL", "STATE", "READY", "SCALE", "JOB", "AGE", "WHY"});
  for (const Endpoint& endpoint : list->endpoints()) {
    const auto ready = std::count_if(endpoint.replicas().begin(), endpoint.replicas().end(),
                                     [](const auto& r) { return r.ready(); });
    table.Add({endpoint.spec().name(), endpoint.resolved_model(),
               EndpointState_Name(endpoint.state()),
               absl::StrCat(ready, "/", endpoint.replicas_wanted()), ScaleWords(endpoint),
               endpoint.job_id(), Age(endpoint.created(), absl::Now()), WhyWords(endpoint)});
  }
  std::cout << table.ToString();
  return kExitOk;
}

int Usage(const CommandContext& context) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto usage = session->Call<EndpointService>(&EndpointService::Stub::GetUsage,
                                                    fabric::v1::GetUsageRequest());
  if (!usage.ok()) return Fail(usage.status());
  if (context.json()) {
    std::cout << ToJson(*usage);
    return kExitOk;
  }
  Table table(
      {"BUSINESS-UNIT", "MODEL", "REQUESTS", "PROMPT-TOKENS", "COMPLETION-TOKENS", "ERRORS"});
  for (const fabric::v1::UsageRecord& record : usage->records()) {
    table.Add({record.business_unit(), record.model(), absl::StrCat(record.requests()),
               absl::StrCat(record.prompt_tokens()), absl::StrCat(record.completion_tokens()),
               absl::StrCat(record.errors())});
  }
  std::cout << table.ToString();
  return kExitOk;
}

struct InferFlags {
  std::string model, text, system;
  int max_tokens = 128;
  double temperature = -1;
  double top_p = -1;
  int64_t seed = -1;
  std::vector<std::string> stop;
};

void SetSampling(const InferFlags& flags, inference::v1::SamplingParams& sampling) {
  sampling.set_max_tokens(flags.max_tokens);
  if (flags.temperature >= 0) sampling.set_temperature(flags.temperature);
  if (flags.top_p >= 0) sampling.set_top_p(flags.top_p);
  if (flags.seed >= 0) sampling.set_seed(flags.seed);
  for (const std::string& stop : flags.stop) sampling.add_stop(stop);
}

// Prints the text as it comes; the usage goes to stderr.
int PrintStream(const Session& session,
                grpc::ClientReaderInterface<inference::v1::GenerationChunk>& reader) {
  inference::v1::GenerationChunk chunk;
  inference::v1::Usage usage;
  while (reader.Read(&chunk)) {
    std::cout << Printable(chunk.text()) << std::flush;
    if (chunk.has_usage()) usage = chunk.usage();
  }
  const absl::Status status = FromGrpcStatus(reader.Finish());
  std::cout << "\n";
  if (!status.ok()) {
    return Fail(absl::IsUnavailable(status)
                    ? Annotate(status, absl::StrCat("gateway ", session.config().gateway_grpc))
                    : status);
  }
  std::cerr << usage.prompt_tokens() << " prompt tokens, " << usage.completion_tokens()
            << " completion tokens\n";
  return kExitOk;
}

int Infer(const CommandContext& context, const InferFlags& flags, bool chat) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto stub = InferenceService::NewStub(session->Gateway());
  grpc::ClientContext call;
  PrepareContext(call, absl::Minutes(5), session->token());
  if (!chat) {
    inference::v1::CompletionRequest request;
    request.set_model(flags.model);
    request.set_text(flags.text);
    SetSampling(flags, *request.mutable_sampling());
    return PrintStream(*session, *stub->CompleteStream(&call, request));
  }
  inference::v1::ChatRequest request;
  request.set_model(flags.model);
  if (!flags.system.empty()) {
    inference::v1::ChatMessage& system = *request.add_messages();
    system.set_role("system");
    system.set_content(flags.system);
  }
  inference::v1::ChatMessage& user = *request.add_messages();
  user.set_role("user");
  user.set_content(flags.text);
  SetSampling(flags, *request.mutable_sampling());
  return PrintStream(*session, *stub->ChatStream(&call, request));
}

void AddInfer(CLI::App& app, CommandContext& context) {
  CLI::App& infer = *app.add_subcommand(
      "infer", "ask an endpoint through the gateway, as a business service would (gRPC)");
  infer.require_subcommand(1);
  for (const bool chat : {false, true}) {
    auto flags = std::make_shared<InferFlags>();
    CLI::App* command = AddCommand(
        infer, context, chat ? "chat" : "complete", chat ? "one user message" : "continue a text",
        [&context, flags, chat] { return Infer(context, *flags, chat); });
    command->add_option("model", flags->model, "endpoint")->required();
    command->add_option("text", flags->text, chat ? "the message" : "the prompt")->required();
    command->add_option("--max-tokens", flags->max_tokens, "at most so many tokens")
        ->check(CLI::PositiveNumber);
    command->add_option("--temperature", flags->temperature, "0: greedy");
    command->add_option("--top-p", flags->top_p, "nucleus");
    command->add_option("--seed", flags->seed, "same seed, same text");
    command->add_option("--stop", flags->stop, "stop strings");
    if (chat) command->add_option("--system", flags->system, "system message");
  }
}

}  // namespace

void AddEndpointCommands(CLI::App& app, CommandContext& context) {
  CLI::App& endpoint = *app.add_subcommand("endpoint", "models being served");
  endpoint.require_subcommand(1);
  AddDeploy(endpoint, context);
  AddAdapterCommands(endpoint, context);
  AddCommand(endpoint, context, "list", "all endpoints",
             [&context] { return ListEndpoints(context); });
  auto name = std::make_shared<std::string>();
  AddCommand(endpoint, context, "get", "one endpoint with its replicas",
             [&context, name] {
               const absl::StatusOr<Session> session = context.Open();
               if (!session.ok()) return Fail(session.status());
               const absl::StatusOr<Endpoint> found = GetEndpoint(*session, *name);
               if (!found.ok()) return Fail(found.status());
               if (context.json()) {
                 std::cout << ToJson(*found);
               } else {
                 PrintEndpoint(*found);
               }
               return static_cast<int>(kExitOk);
             })
      ->add_option("name", *name, "endpoint")
      ->required();
  AddCommand(endpoint, context, "delete", "stop its replicas and forget it",
             [&context, name] {
               const absl::StatusOr<Session> session = context.Open();
               if (!session.ok()) return Fail(session.status());
               fabric::v1::DeleteEndpointRequest request;
               request.set_name(*name);
               const auto answer =
                   session->Call<EndpointService>(&EndpointService::Stub::DeleteEndpoint, request);
               if (!answer.ok()) return Fail(answer.status());
               std::cout << "endpoint " << *name << " is being deleted\n";
               return static_cast<int>(kExitOk);
             })
      ->add_option("name", *name, "endpoint")
      ->required();
  AddCommand(app, context, "usage", "requests and tokens per business unit and model",
             [&context] { return Usage(context); });
  AddInfer(app, context);
}

}  // namespace oneai::cli

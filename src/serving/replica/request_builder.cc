#include "serving/replica/request_builder.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/ids.h"
#include "base/status.h"
#include "serving/replica/convert.h"
#include "serving/replica/tool_choice.h"
#include "serving/wire/model_name.h"

namespace oneai::serving {
namespace {

constexpr int64_t kCompletionMaxTokens = 16;  // as OpenAI's completions
constexpr int kEmbedInputsMax = 2048;
constexpr int kRerankDocumentsMax = 1024;
// Qwen3-Reranker's own default; see its model card.
constexpr char kRerankInstruction[] =
    "Given a web search query, retrieve relevant passages that answer the query";
constexpr char kCallBegin[] = "<tool_call>\n", kCallEnd[] = "\n</tool_call>";
// What ends thoughts that are too long. The two line breaks that follow are the model's to write.
constexpr char kCloseThink[] = "\n</think>";
constexpr int64_t kThoughtTokensMax = int64_t{1} << 31;

const char* TaskName(ModelTask task) {
  switch (task) {
    case ModelTask::kGenerate:
      return "generates text";
    case ModelTask::kEmbed:
      return "embeds";
    case ModelTask::kRerank:
      return "reranks";
    case ModelTask::kClassify:
      return "classifies";
  }
  return "";
}

absl::Status CheckCount(const char* name, int count, int max) {
  if (count >= 1 && count <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " has ", count, " entries; it must have from 1 to ", max));
}

Chat ToChat(const v1::ChatRequest& request) {
  Chat chat;
  for (const v1::ChatMessage& message : request.messages()) {
    ChatTurn turn{message.role(),         message.content(), message.reasoning(), {},
                  message.tool_call_id(), message.name()};
    for (const v1::ToolCall& call : message.tool_calls())
      turn.tool_calls.push_back({call.id(), call.name(), call.arguments_json()});
    chat.turns.push_back(std::move(turn));
  }
  chat.variables_json = request.template_variables_json();
  return chat;
}

// Where the answer to a grammar begins: behind the thoughts, if the model has any.
Thoughts ThoughtsOf(ReasoningFormat reasoning) {
  switch (reasoning) {
    case ReasoningFormat::kNone:
      return Thoughts::kNone;
    case ReasoningFormat::kThinkTags:
      return Thoughts::kMayOpen;
    case ReasoningFormat::kStartsInside:
      return Thoughts::kAreOpened;
  }
  return Thoughts::kNone;
}

}  // namespace

absl::Status RequestBuilder::CheckTask(ModelTask wanted, const char* call) const {
  if (model_.task == wanted) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("model ", model_.name, " ",
                                                    TaskName(model_.task), "; ", call,
                                                    " needs one that ", TaskName(wanted)));
}

absl::StatusOr<int32_t> RequestBuilder::FindAdapter(const std::string& model,
                                                    const std::string& adapter) const {
  const ModelName name = SplitModelName(model);
  if (!name.base.empty() && name.base != model_.name) {
    return absl::NotFoundError(
        absl::StrCat("no model ", name.base, " here; this replica serves ", model_.name));
  }
  if (!adapter.empty() && !name.adapter.empty() && adapter != name.adapter) {
    return absl::InvalidArgumentError(absl::StrCat("the model names the adapter ", name.adapter,
                                                   " and the field adapter ", adapter));
  }
  const std::string& wanted = adapter.empty() ? name.adapter : adapter;
  if (wanted.empty()) return -1;
  if (const std::optional<int32_t> id = model_.adapters.Find(wanted)) return *id;
  std::vector<std::string> known;
  for (const NamedAdapter& one : model_.adapters.List()) known.push_back(one.name);
  return absl::NotFoundError(
      absl::StrCat("model ", model_.name, " has no adapter ", wanted,
                   known.empty() ? "; it has none" : "; it has: ", absl::StrJoin(known, ", ")));
}

absl::Status RequestBuilder::SetGrammar(const v1::StructuredOutput& structured, Thoughts thoughts,
                                        absl::string_view before, GenerationRequest& out) const {
  ASSIGN_OR_RETURN(std::optional<GrammarSpec> spec, ToGrammarSpec(structured));
  if (!spec.has_value()) return absl::OkStatus();
  spec->thoughts = thoughts;
  spec->before = std::string(before);
  if (grammars_ == nullptr) {
    return absl::FailedPreconditionError("this replica has no tokenizer for structured output");
  }
  ASSIGN_OR_RETURN(out.grammar, grammars_->Get(*spec));
  return absl::OkStatus();
}

// "thinking_budget" among the template's variables; the template sees it, too.
absl::Status RequestBuilder::SetThoughtLimit(const v1::ChatRequest& request, Thoughts thoughts,
                                             GenerationRequest& out) const {
  if (request.template_variables_json().empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const models::Json variables,
                   models::ParseJson(request.template_variables_json(), "template_variables_json"));
  const auto budget = variables.find("thinking_budget");
  if (budget == variables.end() || budget->is_null()) return absl::OkStatus();
  if (!budget->is_number_integer() || *budget < 0 || *budget > kThoughtTokensMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("thinking_budget is ", budget->dump(),
                     "; it must be a whole number of tokens from 0 to ", kThoughtTokensMax));
  }
  if (thoughts == Thoughts::kNone) return absl::OkStatus();
  out.thoughts.tokens_max = budget->get<int64_t>();
  out.thoughts.are_opened = thoughts == Thoughts::kAreOpened;
  out.thoughts.closing = prompts_->FromText(kCloseThink);
  return absl::OkStatus();
}

// What completions and chats share, once the prompt is known.
template <typename Request>
absl::Status RequestBuilder::Fill(const Request& request, int64_t default_max_tokens,
                                  BuiltRequest& built) const {
  GenerationRequest& generation = built.generation;
  // Below 2^53, so that it survives JSON on its way.
  const uint64_t drawn = absl::Uniform<uint64_t>(absl::BitGen(), 0, uint64_t{1} << 53);
  ASSIGN_OR_RETURN(generation.sampling, ToSamplingSettings(request.sampling(), model_.generation,
                                                           default_max_tokens, drawn));
  RETURN_IF_ERROR(SetChoices(request.sampling(), generation));
  generation.tenant = request.tenant();
  generation.priority = request.priority();
  generation.cache_salt = request.cache_salt();
  AnswerFormat& format = built.format;
  format.request_id = request.request_id().empty() ? NewId("req-") : request.request_id();
  format.seed = static_cast<int64_t>(generation.sampling.seed);
  format.num_choices = generation.num_choices;
  format.tokenizer = &prompts_->tokenizer();
  if (generation.sampling.prompt_logprobs >= 0) format.prompt = generation.prompt;
  return absl::OkStatus();
}

absl::StatusOr<BuiltRequest> RequestBuilder::Build(const v1::CompletionRequest& request) const {
  BuiltRequest built;
  ASSIGN_OR_RETURN(built.generation.adapter, FindAdapter(request.model(), request.adapter()));
  RETURN_IF_ERROR(CheckTask(ModelTask::kGenerate, "a completion"));
  if (request.has_token_ids()) {
    built.generation.prompt.assign(request.token_ids().ids().begin(),
                                   request.token_ids().ids().end());
  } else {
    built.generation.prompt = prompts_->FromText(request.text());
  }
  if (request.echo()) built.format.echo = prompts_->ToText(built.generation.prompt);
  RETURN_IF_ERROR(SetGrammar(request.structured(), Thoughts::kNone, "", built.generation));
  RETURN_IF_ERROR(Fill(request, kCompletionMaxTokens, built));
  return built;
}

absl::StatusOr<BuiltRequest> RequestBuilder::Build(const v1::ChatRequest& request) const {
  BuiltRequest built;
  ASSIGN_OR_RETURN(built.generation.adapter, FindAdapter(request.model(), request.adapter()));
  RETURN_IF_ERROR(CheckTask(ModelTask::kGenerate, "a chat"));
  ASSIGN_OR_RETURN(const ToolChoice tools,
                   ReadToolChoice(request.tools_json(), request.tool_choice()));
  const bool is_bare_call = !tools.call_schema.empty();
  const bool is_structured = request.structured().kind_case() != v1::StructuredOutput::KIND_NOT_SET;
  if (is_bare_call && is_structured) {
    return absl::InvalidArgumentError(
        "structured and a tool_choice that forces a call exclude each other; drop one");
  }
  Chat chat = ToChat(request);
  if (tools.offered) chat.tools_json = request.tools_json();
  ASSIGN_OR_RETURN(ChatPrompt prompt, prompts_->FromChat(chat));
  AnswerFormat& format = built.format;
  format.parses_output = !request.raw_output() || is_bare_call;
  format.output = ChooseOutputFormat(prompts_->template_source(), prompt.end, tools.offered);
  const Thoughts thoughts = ThoughtsOf(format.output.reasoning);
  if (is_structured || is_bare_call) format.output.think_breaks_max = 2;
  if (is_bare_call) {
    format.output.tool_calls = ToolCallFormat::kHermes;
    format.unwritten_end = kCallEnd;
  }
  // A call that comes at once begins in the prompt; behind thoughts it is part of the grammar.
  if (is_bare_call && thoughts == Thoughts::kNone) {
    const std::vector<int32_t> more = prompts_->FromText(kCallBegin);
    prompt.tokens.insert(prompt.tokens.end(), more.begin(), more.end());
    format.unwritten_begin = kCallBegin;
  }
  built.generation.prompt = std::move(prompt.tokens);
  RETURN_IF_ERROR(SetThoughtLimit(request, thoughts, built.generation));
  if (tools.offered) {
    ASSIGN_OR_RETURN(const models::Json parsed, models::ParseJson(request.tools_json(), "tools"));
    ASSIGN_OR_RETURN(format.tools, ToolTypes::From(parsed));
  }
  v1::StructuredOutput form = request.structured();
  if (is_bare_call) form.set_json_schema(tools.call_schema);
  const bool opens_in_answer = is_bare_call && thoughts != Thoughts::kNone;
  RETURN_IF_ERROR(SetGrammar(form, thoughts, opens_in_answer ? kCallBegin : "", built.generation));
  // What the context leaves; at least 1, so that a prompt that fills it is refused for its length.
  const int64_t left =
      model_.max_context_tokens - static_cast<int64_t>(built.generation.prompt.size());
  RETURN_IF_ERROR(Fill(request, std::max<int64_t>(left, 1), built));
  return built;
}

// As the model was trained to read it: with the tokens that it wants around a text.
std::vector<int32_t> RequestBuilder::InputTokens(const v1::TextInput& input) const {
  if (input.has_token_ids())
    return {input.token_ids().ids().begin(), input.token_ids().ids().end()};
  const models::Tokenizer& tokenizer = prompts_->tokenizer();
  std::vector<int32_t> tokens = tokenizer.prefix();
  const std::vector<int32_t> text = tokenizer.Encode(input.text(), models::SpecialTokens::kAsText);
  tokens.insert(tokens.end(), text.begin(), text.end());
  tokens.insert(tokens.end(), tokenizer.suffix().begin(), tokenizer.suffix().end());
  return tokens;
}

absl::StatusOr<std::vector<GenerationRequest>> RequestBuilder::Build(
    const v1::EmbedRequest& request) const {
  ASSIGN_OR_RETURN(const int32_t adapter, FindAdapter(request.model(), request.adapter()));
  RETURN_IF_ERROR(CheckTask(ModelTask::kEmbed, "an embedding"));
  RETURN_IF_ERROR(CheckCount("inputs", request.inputs_size(), kEmbedInputsMax));
  if (request.has_dimensions() &&
      (request.dimensions() < 1 || request.dimensions() > model_.hidden_size)) {
    return absl::InvalidArgumentError(absl::StrCat("dimensions is ", request.dimensions(),
                                                   "; it must be from 1 to ", model_.hidden_size));
  }
  std::vector<GenerationRequest> requests;
  for (const v1::TextInput& input : request.inputs()) {
    GenerationRequest& one = requests.emplace_back();
    one.kind = RequestKind::kHidden;
    one.prompt = InputTokens(input);
    one.adapter = adapter;
    one.tenant = request.tenant();
    one.priority = request.priority();
  }
  return requests;
}

absl::StatusOr<std::vector<GenerationRequest>> RequestBuilder::Build(
    const v1::RerankRequest& request) const {
  ASSIGN_OR_RETURN(const int32_t adapter, FindAdapter(request.model(), ""));
  RETURN_IF_ERROR(CheckTask(ModelTask::kRerank, "reranking"));
  RETURN_IF_ERROR(CheckCount("documents", request.documents_size(), kRerankDocumentsMax));
  if (request.top_n() < 0) return absl::InvalidArgumentError("top_n is negative; 0 means all");
  const std::optional<int32_t> no = prompts_->tokenizer().FindToken("no");
  const std::optional<int32_t> yes = prompts_->tokenizer().FindToken("yes");
  if (!no.has_value() || !yes.has_value()) {
    return absl::FailedPreconditionError(
        "the model's tokenizer has no tokens \"yes\" and \"no\", by which rerankers answer");
  }
  std::vector<GenerationRequest> requests;
  for (const std::string& document : request.documents()) {
    GenerationRequest& one = requests.emplace_back();
    one.kind = RequestKind::kScores;
    one.score_ids = {*no, *yes};
    ASSIGN_OR_RETURN(one.prompt,
                     prompts_->FromRerank(
                         request.instruction().empty() ? kRerankInstruction : request.instruction(),
                         request.query(), document));
    one.adapter = adapter;
    one.tenant = request.tenant();
    one.priority = request.priority();
  }
  return requests;
}

absl::StatusOr<std::vector<GenerationRequest>> RequestBuilder::Build(
    const v1::ClassifyRequest& request) const {
  ASSIGN_OR_RETURN(const int32_t adapter, FindAdapter(request.model(), ""));
  RETURN_IF_ERROR(CheckTask(ModelTask::kClassify, "classification"));
  RETURN_IF_ERROR(CheckCount("inputs", request.inputs_size(), kEmbedInputsMax));
  std::vector<GenerationRequest> requests;
  for (const v1::TextInput& input : request.inputs()) {
    GenerationRequest& one = requests.emplace_back();
    one.kind = RequestKind::kScores;
    one.prompt = InputTokens(input);
    one.adapter = adapter;
    one.tenant = request.tenant();
    one.priority = request.priority();
  }
  return requests;
}

}  // namespace oneai::serving

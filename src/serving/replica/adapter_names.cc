#include "serving/replica/adapter_names.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace oneai::serving {
namespace {

constexpr size_t kNameMax = 64;

bool IsName(absl::string_view name) {
  return !name.empty() && name.size() <= kNameMax && absl::ascii_isalnum(name[0]) &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

}  // namespace

AdapterNames::AdapterNames(std::initializer_list<std::pair<std::string, int32_t>> adapters)
    : AdapterNames() {
  for (const auto& [name, id] : adapters) Add({name, "", id});
}

absl::Status AdapterNames::Reserve(const std::string& name) {
  if (!IsName(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("adapter name \"", absl::CHexEscape(name.substr(0, kNameMax)),
                     "\": letters, digits, '-', '_' and '.' only, a letter or digit first, ",
                     kNameMax, " at most"));
  }
  absl::MutexLock lock(&state_->mu);
  if (state_->adapters.contains(name)) {
    return absl::AlreadyExistsError(
        absl::StrCat("there is an adapter ", name, "; unload it first, or choose another name"));
  }
  if (state_->adapters.size() >= kAdaptersMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("this replica has ", kAdaptersMax, " adapters, the most; unload one first"));
  }
  state_->adapters[name] = {name, "", -1};
  return absl::OkStatus();
}

void AdapterNames::Add(const NamedAdapter& adapter) {
  absl::MutexLock lock(&state_->mu);
  state_->adapters[adapter.name] = adapter;
}

void AdapterNames::GiveUp(const std::string& name) {
  absl::MutexLock lock(&state_->mu);
  state_->adapters.erase(name);
}

std::optional<int32_t> AdapterNames::Remove(const std::string& name) {
  absl::MutexLock lock(&state_->mu);
  const auto it = state_->adapters.find(name);
  if (it == state_->adapters.end() || it->second.id < 0) return std::nullopt;
  const int32_t id = it->second.id;
  state_->adapters.erase(it);
  return id;
}

std::optional<int32_t> AdapterNames::Find(const std::string& name) const {
  absl::MutexLock lock(&state_->mu);
  const auto it = state_->adapters.find(name);
  if (it == state_->adapters.end() || it->second.id < 0) return std::nullopt;
  return it->second.id;
}

std::vector<NamedAdapter> AdapterNames::List() const {
  absl::MutexLock lock(&state_->mu);
  std::vector<NamedAdapter> list;
  for (const auto& [name, adapter] : state_->adapters) {
    if (adapter.id >= 0) list.push_back(adapter);
  }
  return list;
}

}  // namespace oneai::serving

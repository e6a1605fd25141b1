// File: serving/replica/adapter_names.h
//
// The LoRA adapters that requests may name, which change while requests come.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace oneai::serving {

// Of one replica; each is read into memory.
inline constexpr int kAdaptersMax = 64;

struct NamedAdapter {
  std::string name;
  std::string folder;  // of its files; empty: unknown
  int32_t id = -1;     // as the engine numbers it
};

// Copies share one list. Thread-safe.
class AdapterNames {
 public:
  AdapterNames() : state_(std::make_shared<State>()) {}
  AdapterNames(std::initializer_list<std::pair<std::string, int32_t>> adapters);

  // Takes the name for an adapter that is about to be loaded; Find does not see it yet.
  // kInvalidArgument: letters, digits, '-', '_' and '.' only, 64 at most. kAlreadyExists.
  // kResourceExhausted: kAdaptersMax.
  absl::Status Reserve(const std::string& name);
  // Of a reserved name.
  void Add(const NamedAdapter& adapter);
  void GiveUp(const std::string& name);
  // Forgets it and returns its number; nullopt: there is none.
  std::optional<int32_t> Remove(const std::string& name);

  std::optional<int32_t> Find(const std::string& name) const;
  std::vector<NamedAdapter> List() const;  // by name

 private:
  struct State {
    absl::Mutex mu;
    std::map<std::string, NamedAdapter> adapters ABSL_GUARDED_BY(mu);  // id -1: reserved
  };
  std::shared_ptr<State> state_;
};

}  // namespace oneai::serving

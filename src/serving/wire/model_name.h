// File: serving/wire/model_name.h
//
// A model as callers name it: "NAME", or "NAME:ADAPTER" for one of its LoRA adapters.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace oneai::serving {

struct ModelName {
  std::string base;
  std::string adapter;  // empty: none
};

inline ModelName SplitModelName(absl::string_view name) {
  const size_t colon = name.find(':');
  if (colon == absl::string_view::npos) return {std::string(name), ""};
  return {std::string(name.substr(0, colon)), std::string(name.substr(colon + 1))};
}

}  // namespace oneai::serving

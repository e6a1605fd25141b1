// File: base/store/etcd_keys.h
//
// Where a store lies in etcd's key space, which it may share with others:
//
//   <prefix>/d/<key>   the store's keys
//   <prefix>/t/<slot>  the outcome of the last commit through each slot (etcd_committer.h)
//   <prefix>/sweep     written whenever old slots are removed
#pragma once

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace oneai {

struct EtcdKeys {
  explicit EtcdKeys(absl::string_view prefix)
      : data(absl::StrCat(prefix, "/d/")),
        slots(absl::StrCat(prefix, "/t/")),
        sweep(absl::StrCat(prefix, "/sweep")) {}

  std::string data;
  std::string slots;
  std::string sweep;
};

}  // namespace oneai

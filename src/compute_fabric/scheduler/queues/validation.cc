#include "compute_fabric/scheduler/queues/validation.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "compute_fabric/scheduler/queues/amount_text.h"
#include "compute_fabric/scheduler/queues/saturating.h"

namespace oneai::fabric {
namespace {

using SpecByPath = std::map<std::string, const QueueSpec*>;

std::string NameOf(absl::string_view path) {
  return path.empty() ? "the root queue" : absl::StrCat("queue ", path);
}

template <typename... Parts>
absl::Status Refuse(absl::string_view path, const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(NameOf(path), ": ", parts...));
}

bool IsPathChar(char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-'; }

// The path with what is not allowed left out: what the user may have meant.
std::string NearestPath(absl::string_view path) {
  std::string nearest;
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    std::string kept;
    for (const char c : part) {
      if (IsPathChar(c)) kept.push_back(c);
      if (c == ' ') kept.push_back('-');
    }
    if (!kept.empty()) absl::StrAppend(&nearest, nearest.empty() ? "" : "/", kept);
  }
  return nearest.substr(0, kQueuePathMax);
}

absl::Status CheckPath(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  const std::vector<absl::string_view> parts = absl::StrSplit(path, '/');
  const bool valid = path.size() <= kQueuePathMax &&
                     std::all_of(parts.begin(), parts.end(), [](absl::string_view part) {
                       return !part.empty() && std::all_of(part.begin(), part.end(), IsPathChar);
                     });
  if (!valid) {
    const std::string nearest = NearestPath(path);
    return absl::InvalidArgumentError(absl::StrCat(
        "queue path \"", path.substr(0, kQueuePathMax),
        "\": parts of letters, digits, '.', '_' and '-' joined by '/', at most ", kQueuePathMax,
        " characters", nearest.empty() ? "" : absl::StrCat("; nearest: \"", nearest, "\"")));
  }
  if (parts.size() > kQueueDepthMax) {
    return absl::InvalidArgumentError(absl::StrCat("queue path \"", path, "\": ", parts.size(),
                                                   " levels deep, at most ", kQueueDepthMax));
  }
  return absl::OkStatus();
}

absl::Status CheckAmounts(const QueueSpec& spec, absl::string_view field, const Amounts& amounts) {
  for (const auto& [resource, amount] : amounts) {
    if (resource.empty()) return Refuse(spec.path, field, ": a resource without a name");
    if (amount < 0) {
      return Refuse(spec.path, field, " of ", resource, " is ", amount,
                    ", below 0; nearest valid: 0");
    }
    if (amount > kAmountMax) {
      return Refuse(spec.path, field, " of ", resource, " is ", amount, ", above ", kAmountMax,
                    "; nearest valid: ", kAmountMax);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRoot(const QueueSpec& spec) {
  if (!spec.borrowing_limit.empty() || !spec.lending_limit.empty()) {
    return Refuse(spec.path,
                  "borrowing and lending limits have no effect, there is nobody beside it; leave "
                  "them out");
  }
  if (spec.reserve || spec.sandbox) {
    return Refuse(spec.path, spec.reserve ? "reserve" : "sandbox",
                  " belongs to a queue below it; leave it out");
  }
  return absl::OkStatus();
}

// Of a nominal that is written: resources it does not name are 0.
int64_t NominalOf(const QueueSpec& spec, const std::string& resource) {
  const auto found = spec.nominal.find(resource);
  return found == spec.nominal.end() ? 0 : found->second;
}

absl::Status CheckAgainstNominal(const QueueSpec& spec) {
  if (spec.nominal.empty()) {
    const char* field = !spec.borrowing_limit.empty() ? "borrowing_limit"
                        : !spec.lending_limit.empty() ? "lending_limit"
                        : spec.reserve                ? "reserve"
                        : spec.sandbox                ? "sandbox"
                                                      : nullptr;
    if (field == nullptr) return absl::OkStatus();
    return Refuse(spec.path, field,
                  " needs a nominal; without one the queue shares what others leave: add nominal, "
                  "or leave ",
                  field, " out");
  }
  for (const auto& [resource, limit] : spec.limit) {
    const int64_t nominal = NominalOf(spec, resource);
    if (limit < nominal) {
      return Refuse(spec.path, "limit of ", AmountText(resource, limit), " is below its nominal ",
                    AmountText(resource, nominal),
                    "; nearest valid: ", AmountText(resource, nominal));
    }
  }
  for (const auto& [resource, lending] : spec.lending_limit) {
    const int64_t nominal = NominalOf(spec, resource);
    if (spec.sandbox && lending > 0) {
      return Refuse(spec.path, "lending_limit of ", AmountText(resource, lending),
                    ": a sandbox lends nothing; nearest valid: 0");
    }
    if (spec.reserve && lending < nominal) {
      return Refuse(
          spec.path, "lending_limit of ", AmountText(resource, lending),
          ": a reserve lends all of its nominal; nearest valid: ", AmountText(resource, nominal));
    }
    if (lending > nominal) {
      return Refuse(spec.path, "lending_limit of ", AmountText(resource, lending),
                    " is above its nominal ", AmountText(resource, nominal),
                    "; nearest valid: ", AmountText(resource, nominal));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSpec(const QueueSpec& spec) {
  RETURN_IF_ERROR(CheckPath(spec.path));
  RETURN_IF_ERROR(CheckAmounts(spec, "nominal", spec.nominal));
  RETURN_IF_ERROR(CheckAmounts(spec, "borrowing_limit", spec.borrowing_limit));
  RETURN_IF_ERROR(CheckAmounts(spec, "lending_limit", spec.lending_limit));
  RETURN_IF_ERROR(CheckAmounts(spec, "limit", spec.limit));
  if (!(spec.weight > 0) || spec.weight > kWeightMax) {
    return Refuse(spec.path, "weight ", spec.weight, " is not above 0 and at most ", kWeightMax,
                  "; nearest valid: ", spec.weight > 0 ? kWeightMax : 1);
  }
  if (spec.path.empty()) RETURN_IF_ERROR(CheckRoot(spec));
  if (spec.reserve && spec.sandbox) {
    return Refuse(spec.path,
                  "reserve (lent to all) and sandbox (lent to nobody) at once; choose one");
  }
  return CheckAgainstNominal(spec);
}

// What the children of a queue are entitled to together.
struct Children {
  Amounts sum;
  Amounts largest;
  std::map<std::string, std::string> largest_path;  // by resource
};

void AddChild(Children& children, const std::string& path, const Amounts& nominal) {
  for (const auto& [resource, amount] : nominal) {
    int64_t& sum = children.sum[resource];
    sum = SaturatingAdd(sum, amount);
    int64_t& largest = children.largest[resource];
    if (amount <= largest) continue;
    largest = amount;
    children.largest_path[resource] = path;
  }
}

// Against `bound`, the queue's nominal or (where it has none) its limit.
absl::Status CheckSum(const std::string& path, const Children& children, absl::string_view field,
                      const Amounts& bound, bool absent_is_zero) {
  for (const auto& [resource, sum] : children.sum) {
    const auto found = bound.find(resource);
    if (found == bound.end() && !absent_is_zero) continue;
    const int64_t most = found == bound.end() ? 0 : found->second;
    if (sum <= most) continue;
    const int64_t largest = children.largest.at(resource);
    const int64_t others = sum - largest;
    std::string lower;
    if (others <= most) {
      lower = absl::StrCat(", or ", children.largest_path.at(resource), " to ",
                           AmountText(resource, most - others));
    }
    return Refuse(path, "its children's nominals add up to ", AmountText(resource, sum),
                  ", above its ", field, " of ", AmountText(resource, most),
                  "; nearest valid: set its ", field, " to ", AmountText(resource, sum), lower);
  }
  return absl::OkStatus();
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

absl::Status CheckSums(const SpecByPath& specs) {
  std::map<std::string, Children> children;  // by parent
  // Every queue that is written, and every one above it; the deepest first.
  const auto deeper = [](const std::string& a, const std::string& b) {
    const auto depth = [](const std::string& path) {
      return path.empty() ? 0 : 1 + std::count(path.begin(), path.end(), '/');
    };
    return depth(a) != depth(b) ? depth(a) > depth(b) : a < b;
  };
  std::set<std::string, decltype(deeper)> paths(deeper);
  for (const auto& [path, spec] : specs) {
    for (std::string p = path; paths.insert(p).second && !p.empty();) p = ParentOf(p);
  }
  for (const std::string& path : paths) {
    const auto found = specs.find(path);
    const QueueSpec* const spec = found == specs.end() ? nullptr : found->second;
    const Children& below = children[path];
    const bool written = spec != nullptr && !spec->nominal.empty();
    if (written) {
      RETURN_IF_ERROR(CheckSum(path, below, "nominal", spec->nominal, /*absent_is_zero=*/true));
    } else if (spec != nullptr) {
      RETURN_IF_ERROR(CheckSum(path, below, "limit", spec->limit, /*absent_is_zero=*/false));
    }
    if (!path.empty()) {
      AddChild(children[ParentOf(path)], path, written ? spec->nominal : below.sum);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateQueues(const std::vector<QueueSpec>& specs) {
  if (specs.size() > kQueuesMax) {
    return absl::InvalidArgumentError(absl::StrCat(specs.size(), " queues; at most ", kQueuesMax));
  }
  SpecByPath by_path;
  for (const QueueSpec& spec : specs) {
    RETURN_IF_ERROR(CheckSpec(spec));
    if (!by_path.emplace(spec.path, &spec).second) {
      return Refuse(spec.path, "written twice; keep one");
    }
  }
  return CheckSums(by_path);
}

}  // namespace oneai::fabric

#include "serving/grammar/json_schema_disjoint.h"

#include <algorithm>
#include <string>

namespace oneai::serving {
namespace {

using models::OrderedJson;

constexpr int kDepthMax = 16;

// Types as bits; a whole number is one of both kinds.
enum : unsigned {
  kObject = 1,
  kArray = 2,
  kString = 4,
  kBoolean = 8,
  kNull = 16,
  kInteger = 32,
  kFraction = 64,
  kAny = 127
};

unsigned TypeBits(const std::string& name) {
  if (name == "object") return kObject;
  if (name == "array") return kArray;
  if (name == "string") return kString;
  if (name == "boolean") return kBoolean;
  if (name == "null") return kNull;
  if (name == "integer") return kInteger;
  return name == "number" ? kInteger | kFraction : kAny;
}

unsigned TypeBitsOf(const OrderedJson& value) {
  if (value.is_object()) return kObject;
  if (value.is_array()) return kArray;
  if (value.is_string()) return kString;
  if (value.is_boolean()) return kBoolean;
  if (value.is_null()) return kNull;
  return value.is_number_integer() ? kInteger : kInteger | kFraction;
}

// A limit of one type's values: what lies above `max` of one schema is excluded by it.
struct Limits {
  unsigned types;
  const char *min, *max;
};
constexpr Limits kLimits[] = {{kInteger | kFraction, "minimum", "maximum"},
                              {kString, "minLength", "maxLength"},
                              {kArray, "minItems", "maxItems"},
                              {kObject, "minProperties", "maxProperties"}};

class Comparison {
 public:
  Comparison(ResolveRef resolve, int64_t& steps_left)
      : resolve_(resolve), steps_left_(steps_left) {}

  bool Disjoint(const OrderedJson& a, const OrderedJson& b, int depth) {
    if (--steps_left_ < 0 || depth > kDepthMax) return false;
    if (a == false || b == false) return true;
    if (!a.is_object() || !b.is_object()) return false;
    return PartExcludes(a, b, depth) || PartExcludes(b, a, depth) || TypesExclude(a, b) ||
           ValuesExclude(a, b) || LimitsExclude(a, b) || PropertiesExclude(a, b, depth) ||
           PropertiesExclude(b, a, depth);
  }

  static unsigned Types(const OrderedJson& s) {
    if (s.contains("nullable")) return kAny;
    unsigned types = kAny;
    if (s.contains("type")) {
      const OrderedJson& type = s["type"];
      unsigned named = 0;
      for (const OrderedJson& t : type.is_array() ? type : OrderedJson::array({type}))
        named |= t.is_string() ? TypeBits(t.get_ref<const std::string&>()) : unsigned{kAny};
      types &= named;
    }
    if (s.contains("const")) types &= TypeBitsOf(s["const"]);
    if (s.contains("enum") && s["enum"].is_array()) {
      unsigned listed = 0;
      for (const OrderedJson& value : s["enum"]) listed |= TypeBitsOf(value);
      types &= listed;
    }
    return types;
  }

 private:
  // Whether a part of `a` that always applies, or each that may, excludes `b`.
  bool PartExcludes(const OrderedJson& a, const OrderedJson& b, int depth) {
    const auto excludes = [&](const OrderedJson& part) { return Disjoint(part, b, depth + 1); };
    if (a.contains("$ref") && a["$ref"].is_string()) {
      const auto target = resolve_(a["$ref"].get_ref<const std::string&>());
      if (target.ok() && excludes(**target)) return true;
    }
    if (a.contains("allOf") && a["allOf"].is_array() &&
        std::any_of(a["allOf"].begin(), a["allOf"].end(), excludes))
      return true;
    for (const char* key : {"anyOf", "oneOf"}) {
      if (a.contains(key) && a[key].is_array() &&
          std::all_of(a[key].begin(), a[key].end(), excludes))
        return true;
    }
    return false;
  }

  static bool TypesExclude(const OrderedJson& a, const OrderedJson& b) {
    return (Types(a) & Types(b)) == 0;
  }

  static OrderedJson ValuesOf(const OrderedJson& s) {
    if (s.contains("nullable")) return nullptr;
    if (s.contains("const")) return OrderedJson::array({s["const"]});
    return s.contains("enum") ? s["enum"] : OrderedJson(nullptr);
  }

  bool ValuesExclude(const OrderedJson& a, const OrderedJson& b) {
    const OrderedJson of_a = ValuesOf(a), of_b = ValuesOf(b);
    if (!of_a.is_array() || !of_b.is_array()) return false;
    for (const OrderedJson& value : of_a) {
      steps_left_ -= static_cast<int64_t>(of_b.size());
      if (steps_left_ < 0) return false;
      if (std::find(of_b.begin(), of_b.end(), value) != of_b.end()) return false;
    }
    return true;
  }

  static bool LimitsExclude(const OrderedJson& a, const OrderedJson& b) {
    const unsigned types = Types(a) & Types(b);
    const auto is_over = [](const OrderedJson& low, const char* min, const OrderedJson& high,
                            const char* max) {
      return low.contains(min) && high.contains(max) && low[min].is_number() &&
             high[max].is_number() && low[min] > high[max];
    };
    return std::any_of(std::begin(kLimits), std::end(kLimits), [&](const Limits& limits) {
      return (types & ~limits.types) == 0 &&
             (is_over(a, limits.min, b, limits.max) || is_over(b, limits.min, a, limits.max));
    });
  }

  // Objects with a property that `a` requires and that cannot be right for both.
  bool PropertiesExclude(const OrderedJson& a, const OrderedJson& b, int depth) {
    if ((Types(a) & Types(b) & ~unsigned{kObject}) != 0) return false;
    if (!a.contains("required") || !a["required"].is_array()) return false;
    static const OrderedJson& anything = *new OrderedJson(true);
    const auto property = [](const OrderedJson& s, const std::string& name) -> const OrderedJson& {
      if (s.contains("properties") && s["properties"].is_object() && s["properties"].contains(name))
        return s["properties"][name];
      const bool is_closed = s.contains("additionalProperties") && !s.contains("patternProperties");
      return is_closed ? s["additionalProperties"] : anything;
    };
    return std::any_of(a["required"].begin(), a["required"].end(), [&](const OrderedJson& name) {
      if (!name.is_string()) return false;
      const std::string& key = name.get_ref<const std::string&>();
      return Disjoint(property(a, key), property(b, key), depth + 1);
    });
  }

  const ResolveRef resolve_;
  int64_t& steps_left_;
};

}  // namespace

bool AreDisjoint(const OrderedJson& a, const OrderedJson& b, ResolveRef resolve,
                 int64_t& steps_left) {
  return Comparison(resolve, steps_left).Disjoint(a, b, 0);
}

bool HasOnlyTypes(const OrderedJson& a, const OrderedJson& types) {
  return a.is_object() &&
         (Comparison::Types(a) & ~Comparison::Types(OrderedJson{{"type", types}})) == 0;
}

}  // namespace oneai::serving

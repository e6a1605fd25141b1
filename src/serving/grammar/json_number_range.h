// File: serving/grammar/json_number_range.h
//
// Numbers between bounds, exactly: an automaton over their digits.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "models/json/json_reader.h"
#include "serving/grammar/expression.h"

namespace oneai::serving {

struct NumberBound {
  int sign = 0;             // -1, 0, 1
  std::string whole = "0";  // digits before the point, without leading zeros
  std::string fraction;     // and after it, without trailing ones
  bool is_exclusive = false;
};

// The bound that the JSON number `value` (finite) stands for; one that is written as an integer is
// taken to the last digit.
NumberBound BoundOf(const models::OrderedJson& value, bool is_exclusive);

struct NumberRange {
  std::optional<NumberBound> low, high;
};

// Integers within `range`, of at most 18 digits, without "-0".
ExprId IntegerInRange(const NumberRange& range, ExpressionPool& pool);

// Decimal numbers within `range`, without exponent, "-0" or more than 18 digits before or 15 after
// those of the bounds. A bound counts as the shortest decimal that reads back as its double.
ExprId DecimalInRange(const NumberRange& range, ExpressionPool& pool);

}  // namespace oneai::serving

#include "serving/grammar/json_number_range.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

namespace oneai::serving {
namespace {

constexpr int kDigitsMax = 18;
constexpr int64_t kFreeFractionDigits = 15;

// Magnitudes between two of them.
class MagnitudeRange {
 public:
  MagnitudeRange(std::optional<NumberBound> low, std::optional<NumberBound> high, bool is_integer,
                 ExpressionPool& pool)
      : low_(std::move(low)), high_(std::move(high)), is_integer_(is_integer), pool_(pool) {
    if (low_.has_value()) depth_max_ = std::max(depth_max_, low_->fraction.size());
    if (high_.has_value()) depth_max_ = std::max(depth_max_, high_->fraction.size());
  }

  ExprId Write() {
    std::vector<ExprId> lengths;
    for (size_t n = 1; n <= kDigitsMax; ++n) {
      if (low_.has_value() && low_->whole.size() > n) continue;
      if (high_.has_value() && high_->whole.size() < n) break;
      lengths.push_back(Whole(n, 0, low_.has_value() && low_->whole.size() == n,
                              high_.has_value() && high_->whole.size() == n));
    }
    return pool_.Alternate(std::move(lengths));
  }

 private:
  ExprId Digit(char first, char last) {
    if (first > last) return pool_.Never();
    return pool_.Chars({{static_cast<uint32_t>(first), static_cast<uint32_t>(last)}});
  }
  ExprId Digits(int64_t min, int64_t max) { return pool_.Repeat(Digit('0', '9'), min, max); }

  // Calls `next(low still binds, high still binds)` behind each digit from `first` on that the
  // bounds, where they bind, allow.
  template <typename Next>
  ExprId OneDigit(char first, char low, char high, bool low_binds, bool high_binds, Next next) {
    if (!low_binds) low = first;
    if (!high_binds) high = '9';
    std::vector<ExprId> ways;
    auto way = [&](char from, char to, bool at_low, bool at_high) {
      from = std::max(from, first);
      if (from > to) return;
      ways.push_back(pool_.Concat({Digit(from, to), next(at_low, at_high)}));
    };
    if (low == high && low_binds && high_binds) {
      way(low, high, true, true);
      return pool_.Alternate(std::move(ways));
    }
    if (low > high) return pool_.Never();
    if (low_binds) way(low, low, true, high_binds && low == high);
    if (high_binds && !(low_binds && low == high)) way(high, high, false, true);
    way(static_cast<char>(low + (low_binds ? 1 : 0)),
        static_cast<char>(high - (high_binds ? 1 : 0)), false, false);
    return pool_.Alternate(std::move(ways));
  }

  // Digits i... of a whole part of `n`, then the fraction.
  ExprId Whole(size_t n, size_t i, bool low_binds, bool high_binds) {
    if (i == n) {
      return is_integer_ ? Exact(low_binds, high_binds) : Fraction(low_binds, high_binds);
    }
    if (!low_binds && !high_binds && i > 0) {
      const int64_t rest = static_cast<int64_t>(n - i);
      return pool_.Concat({Digits(rest, rest), Whole(n, n, false, false)});
    }
    return OneDigit(i == 0 && n > 1 ? '1' : '0', low_binds ? low_->whole[i] : '0',
                    high_binds ? high_->whole[i] : '9', low_binds, high_binds,
                    [&](bool low, bool high) { return Whole(n, i + 1, low, high); });
  }

  // What an integer that equals the whole part of a bound is.
  ExprId Exact(bool low_binds, bool high_binds) {
    return IsAllowedEnd(0, low_binds, high_binds) ? pool_.Bytes("") : pool_.Never();
  }

  // The number may end when `i` digits of the fraction were those of the bounds that bind.
  bool IsAllowedEnd(size_t i, bool low_binds, bool high_binds) const {
    if (low_binds && (low_->fraction.size() > i || low_->is_exclusive)) return false;
    return !high_binds || high_->fraction.size() > i || !high_->is_exclusive;
  }

  ExprId Fraction(bool low_binds, bool high_binds) {
    const ExprId digits =
        pool_.Concat({pool_.Bytes("."), FractionDigits(0, low_binds, high_binds)});
    if (!IsAllowedEnd(0, low_binds, high_binds)) return digits;
    return pool_.Optional(digits);
  }

  // At least one digit of the fraction, from the i-th on.
  ExprId FractionDigits(size_t i, bool low_binds, bool high_binds) {
    if (!low_binds && !high_binds) return Digits(1, kFreeFractionDigits);
    if (i >= depth_max_) return AfterBounds(low_binds, high_binds);
    const char low = low_binds && i < low_->fraction.size() ? low_->fraction[i] : '0';
    const char high = high_binds && i < high_->fraction.size() ? high_->fraction[i] : '0';
    return OneDigit('0', low, high, low_binds, high_binds, [&](bool at_low, bool at_high) {
      const ExprId more = !at_low && !at_high ? Digits(0, kFreeFractionDigits)
                                              : FractionDigits(i + 1, at_low, at_high);
      if (!at_low && !at_high) return more;
      return IsAllowedEnd(i + 1, at_low, at_high) ? pool_.Optional(more) : more;
    });
  }

  // All digits of the bounds were read; what comes is compared with zeros.
  ExprId AfterBounds(bool low_binds, bool high_binds) {
    const ExprId zeros = pool_.Repeat(pool_.Bytes("0"), 0, kFreeFractionDigits);
    if (high_binds) {
      const bool is_excluded = high_->is_exclusive || (low_binds && low_->is_exclusive);
      return is_excluded ? pool_.Never() : pool_.Concat({pool_.Bytes("0"), zeros});
    }
    if (!low_->is_exclusive) return Digits(1, kFreeFractionDigits);
    return pool_.Concat({zeros, Digit('1', '9'), Digits(0, kFreeFractionDigits)});
  }

  const std::optional<NumberBound> low_, high_;
  const bool is_integer_;
  ExpressionPool& pool_;
  size_t depth_max_ = 0;
};

ExprId InRange(const NumberRange& range, bool is_integer, ExpressionPool& pool) {
  const auto& [low, high] = range;
  std::vector<ExprId> signs;
  if (!high.has_value() || high->sign > 0 || (high->sign == 0 && !high->is_exclusive)) {
    std::optional<NumberBound> from;
    if (low.has_value() && low->sign >= 0) from = low;
    signs.push_back(MagnitudeRange(from, high, is_integer, pool).Write());
  }
  if (!low.has_value() || low->sign < 0) {
    // Mirrored: from what is above zero, or the upper bound, to the lower one.
    NumberBound from = {.is_exclusive = true};
    if (high.has_value() && high->sign < 0) from = *high;
    signs.push_back(
        pool.Concat({pool.Bytes("-"), MagnitudeRange(from, low, is_integer, pool).Write()}));
  }
  return pool.Alternate(std::move(signs));
}

}  // namespace

NumberBound BoundOf(const models::OrderedJson& value, bool is_exclusive) {
  std::string text;
  if (value.is_number_float()) {
    // 1e-320 has 320 leading zeros and 1e300 as many digits: both are decimals all the same.
    char buffer[512];
    const auto [end, error] = std::to_chars(buffer, buffer + sizeof(buffer), value.get<double>(),
                                            std::chars_format::fixed);
    text.assign(buffer, end);
  } else {
    text = value.dump();
  }
  NumberBound bound = {.sign = text[0] == '-' ? -1 : 1, .is_exclusive = is_exclusive};
  if (bound.sign < 0) text.erase(0, 1);
  const size_t point = std::min(text.find('.'), text.size());
  bound.whole = text.substr(0, point);
  if (point < text.size()) bound.fraction = text.substr(point + 1);
  while (!bound.fraction.empty() && bound.fraction.back() == '0') bound.fraction.pop_back();
  if (bound.whole == "0" && bound.fraction.empty()) bound.sign = 0;
  return bound;
}

ExprId IntegerInRange(const NumberRange& range, ExpressionPool& pool) {
  return InRange(range, /*is_integer=*/true, pool);
}

ExprId DecimalInRange(const NumberRange& range, ExpressionPool& pool) {
  return InRange(range, /*is_integer=*/false, pool);
}

}  // namespace oneai::serving

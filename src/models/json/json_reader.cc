#include "models/json/json_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "base/status.h"

namespace oneai::models {
namespace {

// Builds the document from parser events. The library's own builder keeps the last of duplicate
// keys and knows no bounds, which is why it is not used.
template <typename J>
class BoundedBuilder : public nlohmann::json_sax<J> {
 public:
  using typename nlohmann::json_sax<J>::number_integer_t;
  using typename nlohmann::json_sax<J>::number_unsigned_t;
  using typename nlohmann::json_sax<J>::number_float_t;
  using typename nlohmann::json_sax<J>::string_t;
  using typename nlohmann::json_sax<J>::binary_t;

  explicit BoundedBuilder(JsonLimits limits) : limits_(limits) {}

  bool null() override { return Add(J(nullptr)) != nullptr; }
  bool boolean(bool v) override { return Add(J(v)) != nullptr; }
  bool number_integer(number_integer_t v) override { return Add(J(v)) != nullptr; }
  bool number_unsigned(number_unsigned_t v) override { return Add(J(v)) != nullptr; }
  bool number_float(number_float_t v, const string_t& text) override {
    // An integer above 64 bits arrives here rounded. In configurations it means "no limit"; in a
    // request, whose values are shown again, a changed digit would be a silent error.
    if (std::is_same_v<J, OrderedJson> && text.find_first_of(".eE") == string_t::npos)
      return Fail(absl::StrCat("integer ", text.substr(0, 40), " does not fit in 64 bits"));
    return Add(J(v)) != nullptr;
  }
  bool string(string_t& v) override { return Add(J(std::move(v))) != nullptr; }
  bool binary(binary_t&) override { return Fail("binary values are not JSON"); }
  bool start_object(std::size_t) override { return Open(J::object()); }
  bool start_array(std::size_t) override { return Open(J::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    if (++num_values_ > limits_.values_max) return TooMany();
    auto [it, inserted] =
        stack_.back()->template get_ref<typename J::object_t&>().emplace(name, nullptr);
    if (!inserted) return Fail(absl::StrCat("duplicate key '", name, "'"));
    slot_ = &it->second;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& e) override {
    // what() reads "[json.exception.parse_error.101] parse error at line ...: syntax error ..."
    absl::string_view message = e.what();
    if (size_t at = message.find("] "); at != absl::string_view::npos)
      message.remove_prefix(at + 2);
    return Fail(absl::StrCat("byte ", position, ": ", message.substr(0, 300)));
  }

  J& root() { return root_; }
  const std::string& error() const { return error_; }

 private:
  bool Fail(std::string message) {
    if (error_.empty()) error_ = std::move(message);
    return false;
  }
  bool TooMany() { return Fail(absl::StrCat("more than ", limits_.values_max, " values")); }
  J* Add(J value) {
    if (++num_values_ > limits_.values_max) {
      TooMany();
      return nullptr;
    }
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (stack_.back()->is_array()) {
      auto& items = stack_.back()->template get_ref<typename J::array_t&>();
      items.push_back(std::move(value));
      return &items.back();
    }
    *slot_ = std::move(value);
    return slot_;
  }
  bool Open(J container) {
    if (static_cast<int>(stack_.size()) >= limits_.depth_max)
      return Fail(absl::StrCat("nested deeper than ", limits_.depth_max));
    J* added = Add(std::move(container));
    if (added == nullptr) return false;
    stack_.push_back(added);  // stays valid: a container only grows while it is on top of the stack
    return true;
  }
  bool Close() {
    stack_.pop_back();
    return true;
  }

  const JsonLimits limits_;
  J root_;
  std::vector<J*> stack_;
  J* slot_ = nullptr;
  int64_t num_values_ = 0;
  std::string error_;
};

template <typename J>
absl::StatusOr<J> Parse(absl::string_view text, absl::string_view what, JsonLimits limits) {
  if (static_cast<int64_t>(text.size()) > limits.bytes_max)
    return absl::InvalidArgumentError(absl::StrCat(
        what, ": ", text.size(), " bytes of JSON; at most ", limits.bytes_max, " are read"));
  BoundedBuilder<J> builder(limits);
  if (!J::sax_parse(text.begin(), text.end(), &builder))
    return absl::InvalidArgumentError(absl::StrCat(what, ": not valid JSON: ", builder.error()));
  return std::move(builder.root());
}

std::string Shorten(const Json& value) {
  std::string text = value.is_structured()
                         ? std::string(value.type_name())
                         : value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}

}  // namespace

absl::StatusOr<Json> ParseJson(absl::string_view text, absl::string_view what, JsonLimits limits) {
  return Parse<Json>(text, what, limits);
}

absl::StatusOr<OrderedJson> ParseOrderedJson(absl::string_view text, absl::string_view what,
                                             JsonLimits limits) {
  return Parse<OrderedJson>(text, what, limits);
}

absl::StatusOr<std::string> ReadSmallFile(const std::filesystem::path& path, int64_t bytes_max) {
  // O_NONBLOCK: opening a FIFO must not hang; it is refused below as not a regular file.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path.string(), ": cannot be opened"));
  std::string bytes;
  absl::Status status;
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    status = absl::InvalidArgumentError(absl::StrCat(path.string(), ": is not a regular file"));
  } else if (info.st_size > bytes_max) {
    status = absl::InvalidArgumentError(absl::StrCat(path.string(), ": ", info.st_size,
                                                     " bytes; at most ", bytes_max, " are read"));
  } else {
    bytes.resize(info.st_size);
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = read(fd, bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0)
        status = absl::ErrnoToStatus(errno, absl::StrCat(path.string(), ": cannot be read"));
      if (n <= 0) break;
      done += n;
    }
    bytes.resize(done);
  }
  close(fd);
  if (!status.ok()) return status;
  return bytes;
}

absl::StatusOr<Json> ReadJsonFile(const std::filesystem::path& path, JsonLimits limits) {
  ASSIGN_OR_RETURN(std::string text, ReadSmallFile(path, limits.bytes_max));
  return ParseJson(text, path.string(), limits);
}

absl::StatusOr<JsonObject> JsonObject::From(const Json& value, absl::string_view what,
                                            absl::string_view path) {
  if (!value.is_object())
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": ", path.empty() ? "the document" : "key '", path,
                     path.empty() ? "" : "'", " must be an object, found ", Shorten(value)));
  return JsonObject(value, what, path);
}

bool JsonObject::Has(absl::string_view key) const { return Find(key) != nullptr; }

const Json* JsonObject::Find(absl::string_view key) const {
  auto it = value_->find(std::string(key));
  return it == value_->end() || it->is_null() ? nullptr : &*it;
}

std::string JsonObject::PathOf(absl::string_view key) const {
  return path_.empty() ? std::string(key) : absl::StrCat(path_, ".", key);
}

absl::Status JsonObject::Error(absl::string_view key, absl::string_view message) const {
  return absl::InvalidArgumentError(absl::StrCat(what_, ": key '", PathOf(key), "': ", message));
}

absl::Status JsonObject::Mismatch(absl::string_view key, absl::string_view wanted,
                                  const Json* found) const {
  if (found == nullptr) return Error(key, absl::StrCat("is missing; it must be ", wanted));
  return Error(key, absl::StrCat("must be ", wanted, ", found ", Shorten(*found)));
}

absl::StatusOr<int64_t> JsonObject::CheckedInt(absl::string_view key, const Json& value,
                                               IntRange range) const {
  const bool fits =
      value.is_number_integer() &&
      !(value.is_number_unsigned() &&
        value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  if (!fits) return Mismatch(key, "an integer", &value);
  const int64_t number = value.get<int64_t>();
  if (number < range.min || number > range.max)
    return Mismatch(key, absl::StrCat("between ", range.min, " and ", range.max), &value);
  return number;
}

absl::StatusOr<int64_t> JsonObject::Int(absl::string_view key, IntRange range) const {
  const Json* found = Find(key);
  if (found == nullptr) return Mismatch(key, "an integer", nullptr);
  return CheckedInt(key, *found, range);
}

absl::StatusOr<int64_t> JsonObject::IntOr(absl::string_view key, int64_t fallback,
                                          IntRange range) const {
  return Has(key) ? Int(key, range) : fallback;
}

absl::StatusOr<double> JsonObject::Double(absl::string_view key) const {
  const Json* found = Find(key);
  if (found == nullptr || !found->is_number() || !std::isfinite(found->get<double>()))
    return Mismatch(key, "a number", found);
  return found->get<double>();
}

absl::StatusOr<double> JsonObject::DoubleOr(absl::string_view key, double fallback) const {
  return Has(key) ? Double(key) : fallback;
}

absl::StatusOr<bool> JsonObject::BoolOr(absl::string_view key, bool fallback) const {
  const Json* found = Find(key);
  if (found == nullptr) return fallback;
  if (!found->is_boolean()) return Mismatch(key, "true or false", found);
  return found->get<bool>();
}

absl::StatusOr<std::string> JsonObject::String(absl::string_view key) const {
  const Json* found = Find(key);
  if (found == nullptr || !found->is_string()) return Mismatch(key, "a string", found);
  return found->get<std::string>();
}

absl::StatusOr<std::string> JsonObject::StringOr(absl::string_view key,
                                                 absl::string_view fallback) const {
  return Has(key) ? String(key) : std::string(fallback);
}

absl::StatusOr<std::vector<std::string>> JsonObject::StringListOr(
    absl::string_view key, std::vector<std::string> fallback) const {
  const Json* found = Find(key);
  if (found == nullptr) return fallback;
  if (!found->is_array()) return Mismatch(key, "a list of strings", found);
  std::vector<std::string> list;
  for (const Json& item : *found) {
    if (!item.is_string()) return Mismatch(key, "a list of strings", &item);
    list.push_back(item.get<std::string>());
  }
  return list;
}

absl::StatusOr<std::vector<int64_t>> JsonObject::IntOrIntList(absl::string_view key,
                                                              IntRange range) const {
  const Json* found = Find(key);
  std::vector<int64_t> list;
  if (found == nullptr) return list;
  if (!found->is_array()) {
    ASSIGN_OR_RETURN(int64_t number, CheckedInt(key, *found, range));
    return std::vector<int64_t>{number};
  }
  for (const Json& item : *found) {
    ASSIGN_OR_RETURN(int64_t number, CheckedInt(key, item, range));
    list.push_back(number);
  }
  return list;
}

absl::StatusOr<JsonObject> JsonObject::Object(absl::string_view key) const {
  const Json* found = Find(key);
  if (found == nullptr) return Mismatch(key, "an object", nullptr);
  return From(*found, what_, PathOf(key));
}

}  // namespace oneai::models

// File: serving/text/json_scanner.h
//
// Reads one JSON object byte by byte and says at once where it stops being JSON, so that a tool
// call can be shown while it is written. Source: RFC 8259.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace oneai::serving {

// Thread-compatible.
class JsonScanner {
 public:
  enum class Progress { kMore, kDone, kMalformed };

  // Reads the next byte; the first is '{'. kDone with the '}' that closes it; not to be called
  // after kDone or kMalformed. Text is not checked to be UTF-8.
  Progress Read(char c);

  // Open objects and arrays. 1: between the members of the outermost object.
  int depth() const { return static_cast<int>(open_.size()); }
  // The byte read last is the first, or the last, of a value in the outermost object.
  bool value_began() const { return value_began_; }
  bool value_ended() const { return value_ended_; }
  // For numbers and words the end is known with the byte after them: value_ended() is then about
  // the byte before the one read last.
  bool ended_before() const { return ended_before_; }
  // The key of the current member of the outermost object, as it is written between its quotes.
  const std::string& key() const { return key_; }

 private:
  enum class State {
    kStart,
    kFirstKey,  // '"' or '}'
    kKey,       // '"'
    kColon,
    kValue,
    kFirstItem,   // a value or ']'
    kAfterValue,  // ',' or the closing bracket
    kString,
    kNumber,
    kWord,  // true, false, null
  };
  static constexpr int kDepthMax = 64;

  Progress Malformed() { return Progress::kMalformed; }
  Progress ReadString(char c);
  Progress ReadNumber(char c);
  Progress BeginValue(char c);
  Progress AfterValue(char c);
  Progress EndValue();

  State state_ = State::kStart;
  std::vector<char> open_;  // brackets
  bool is_key_ = false;
  std::string key_;
  int escape_ = 0;   // 1: after a backslash; 2 to 5: hexadecimal digits to come, plus 1
  char number_ = 0;  // what was read of a number, see ReadNumber
  const char* word_ = nullptr;
  bool value_began_ = false, value_ended_ = false, ended_before_ = false;
};

}  // namespace oneai::serving

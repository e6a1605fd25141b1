// Tells ThreadSanitizer what Abseil's locks order. A distribution's libabsl_synchronization is not
// instrumented, so that everything an absl::Mutex guards would look like a race. These definitions
// come before the library's, say what happens before what, and call the library's own. In every
// test of the preset `tsan`. What an absl::Condition reads while the library works is left out: any
// thread may evaluate it, under the lock.
#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <type_traits>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);

namespace {

#define ONEAI_TEXT_OF(x) #x
#define ONEAI_TEXT(x) ONEAI_TEXT_OF(x)

// The library's member function whose mangled name ends in `rest`, after Abseil's inline namespace.
void* Find(const char* prefix, const char* rest) {
  const std::string space = ONEAI_TEXT(ABSL_OPTION_INLINE_NAMESPACE_NAME);
  const std::string name = prefix + std::to_string(space.size()) + space + rest;
  void* found = dlsym(RTLD_NEXT, name.c_str());
  if (found == nullptr) std::abort();
  return found;
}

// What a call does to the order of things at an address; nullptr: nothing.
struct Order {
  const void* gives = nullptr;  // what came before is seen by whoever takes it next
  const void* takes = nullptr;
};

// Calls `function` with `args`, of which the first is `this`, as the Itanium ABI has it.
template <typename Result, typename... Args>
Result Call(Order order, void* function, Args... args) {
  const auto original = reinterpret_cast<Result (*)(Args...)>(function);
  if (order.gives != nullptr) __tsan_release(const_cast<void*>(order.gives));
  if constexpr (std::is_void_v<Result>) {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    original(args...);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    if (order.takes != nullptr) __tsan_acquire(const_cast<void*>(order.takes));
  } else {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    const Result result = original(args...);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    if (order.takes != nullptr) __tsan_acquire(const_cast<void*>(order.takes));
    return result;
  }
}

Order Takes(const void* lock) { return {nullptr, lock}; }
Order Gives(const void* lock) { return {lock, nullptr}; }
Order Waits(const void* lock) { return {lock, lock}; }  // gives the lock away, takes it back

}  // namespace

// One lookup for each function.
#define ONEAI_FOUND(prefix, rest)                  \
  [] {                                             \
    static void* const found = Find(prefix, rest); \
    return found;                                  \
  }()
#define ONEAI_MEMBER(rest) ONEAI_FOUND("_ZN4absl", rest)
#define ONEAI_CONST_MEMBER(rest) ONEAI_FOUND("_ZNK4absl", rest)

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() { Call<void>(Takes(this), ONEAI_MEMBER("5Mutex4LockEv"), this); }
void Mutex::ReaderLock() { Call<void>(Takes(this), ONEAI_MEMBER("5Mutex10ReaderLockEv"), this); }
bool Mutex::TryLock() { return Call<bool>(Takes(this), ONEAI_MEMBER("5Mutex7TryLockEv"), this); }
bool Mutex::ReaderTryLock() {
  return Call<bool>(Takes(this), ONEAI_MEMBER("5Mutex13ReaderTryLockEv"), this);
}
void Mutex::Unlock() { Call<void>(Gives(this), ONEAI_MEMBER("5Mutex6UnlockEv"), this); }
void Mutex::ReaderUnlock() {
  Call<void>(Gives(this), ONEAI_MEMBER("5Mutex12ReaderUnlockEv"), this);
}
void Mutex::LockWhen(const Condition& c) {
  Call<void>(Takes(this), ONEAI_MEMBER("5Mutex8LockWhenERKNS0_9ConditionE"), this, &c);
}
void Mutex::ReaderLockWhen(const Condition& c) {
  Call<void>(Takes(this), ONEAI_MEMBER("5Mutex14ReaderLockWhenERKNS0_9ConditionE"), this, &c);
}
bool Mutex::LockWhenWithTimeout(const Condition& c, Duration d) {
  return Call<bool>(Takes(this),
                    ONEAI_MEMBER("5Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE"),
                    this, &c, d);
}
bool Mutex::LockWhenWithDeadline(const Condition& c, Time t) {
  return Call<bool>(Takes(this),
                    ONEAI_MEMBER("5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE"), this,
                    &c, t);
}
void Mutex::Await(const Condition& c) {
  Call<void>(Waits(this), ONEAI_MEMBER("5Mutex5AwaitERKNS0_9ConditionE"), this, &c);
}
bool Mutex::AwaitWithTimeout(const Condition& c, Duration d) {
  return Call<bool>(Waits(this),
                    ONEAI_MEMBER("5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE"), this,
                    &c, d);
}
bool Mutex::AwaitWithDeadline(const Condition& c, Time t) {
  return Call<bool>(Waits(this),
                    ONEAI_MEMBER("5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE"), this, &c,
                    t);
}
void CondVar::Wait(Mutex* mu) {
  Call<void>(Waits(mu), ONEAI_MEMBER("7CondVar4WaitEPNS0_5MutexE"), this, mu);
}
bool CondVar::WaitWithTimeout(Mutex* mu, Duration d) {
  return Call<bool>(Waits(mu), ONEAI_MEMBER("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE"),
                    this, mu, d);
}
bool CondVar::WaitWithDeadline(Mutex* mu, Time t) {
  return Call<bool>(Waits(mu), ONEAI_MEMBER("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE"),
                    this, mu, t);
}
void Notification::Notify() {
  Call<void>(Gives(this), ONEAI_MEMBER("12Notification6NotifyEv"), this);
}
void Notification::WaitForNotification() const {
  Call<void>(Takes(this), ONEAI_CONST_MEMBER("12Notification19WaitForNotificationEv"), this);
}
bool Notification::WaitForNotificationWithTimeout(Duration d) const {
  return Call<bool>(
      Takes(this),
      ONEAI_CONST_MEMBER("12Notification30WaitForNotificationWithTimeoutENS0_8DurationE"), this, d);
}
bool BlockingCounter::DecrementCount() {
  return Call<bool>(Gives(this), ONEAI_MEMBER("15BlockingCounter14DecrementCountEv"), this);
}
void BlockingCounter::Wait() {
  Call<void>(Takes(this), ONEAI_MEMBER("15BlockingCounter4WaitEv"), this);
}

ABSL_NAMESPACE_END
}  // namespace absl

// Tells ThreadSanitizer of Abseil's locks. A distribution's libabsl_synchronization is not
// instrumented, so that everything an absl::Mutex guards would look like a race. These definitions
// come before the library's, say who holds what, and call the library's own. In every test of the
// preset `tsan`. What an absl::Condition reads while the library works is left out: any thread may
// evaluate it, under the lock.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdlib>
#include <string>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

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

// Calls the library's `function` with `args`, of which the first is `this`, as the Itanium ABI has
// it.
template <typename Result, typename... Args>
Result Call(void* function, Args... args) {
  return reinterpret_cast<Result (*)(Args...)>(function)(args...);
}

// The library takes locks through these definitions, too: a wait with a timeout is one with a
// deadline. The outermost call speaks for those within it.
thread_local int depth = 0;

// From before a lock is asked for until it is held. What the thread does meanwhile, conditions
// included, ThreadSanitizer passes over.
class Locking {
 public:
  Locking(void* mutex, unsigned flags) : mutex_(mutex), flags_(flags) {
    if (depth++ == 0) __tsan_mutex_pre_lock(mutex_, flags_);
  }
  ~Locking() {
    if (--depth == 0) __tsan_mutex_post_lock(mutex_, flags_, 0);
  }
  bool Tried(bool is_held) {
    if (!is_held) flags_ |= __tsan_mutex_try_lock_failed;
    return is_held;
  }

 private:
  void* mutex_;
  unsigned flags_;
};

// While a lock is given up.
class Unlocking {
 public:
  Unlocking(void* mutex, unsigned flags) : mutex_(mutex), flags_(flags) {
    if (depth++ == 0) __tsan_mutex_pre_unlock(mutex_, flags_);
  }
  ~Unlocking() {
    if (--depth == 0) __tsan_mutex_post_unlock(mutex_, flags_);
  }

 private:
  void* mutex_;
  unsigned flags_;
};

constexpr unsigned kWrite = 0;
constexpr unsigned kRead = __tsan_mutex_read_lock;

// A wait under `mutex`: gives it up and takes it back. Abseil lets readers wait, too; the tests'
// programs do not.
class Waiting {
 public:
  explicit Waiting(void* mutex) : gives_{mutex}, takes_(mutex, kWrite) {}

 private:
  struct Gives {
    explicit Gives(void* mutex) { Unlocking unlocking(mutex, kWrite); }
  };
  Gives gives_;
  Locking takes_;
};

// Whoever sees a notification's flag set, even by HasBeenNotified, which is inline, sees what came
// before it was set.
void* FlagOf(const absl::Notification* notification) {
  static_assert(sizeof(absl::Notification) >= sizeof(absl::Mutex) + sizeof(bool));
  return const_cast<char*>(reinterpret_cast<const char*>(notification)) + sizeof(absl::Mutex);
}

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

Mutex::~Mutex() {
  __tsan_mutex_destroy(this, __tsan_mutex_not_static);
  Call<void>(ONEAI_MEMBER("5MutexD1Ev"), this);
}
void Mutex::Lock() {
  Locking locking(this, kWrite);
  Call<void>(ONEAI_MEMBER("5Mutex4LockEv"), this);
}
void Mutex::ReaderLock() {
  Locking locking(this, kRead);
  Call<void>(ONEAI_MEMBER("5Mutex10ReaderLockEv"), this);
}
bool Mutex::TryLock() {
  Locking locking(this, __tsan_mutex_try_lock);
  return locking.Tried(Call<bool>(ONEAI_MEMBER("5Mutex7TryLockEv"), this));
}
bool Mutex::ReaderTryLock() {
  Locking locking(this, __tsan_mutex_try_read_lock);
  return locking.Tried(Call<bool>(ONEAI_MEMBER("5Mutex13ReaderTryLockEv"), this));
}
void Mutex::Unlock() {
  Unlocking unlocking(this, kWrite);
  Call<void>(ONEAI_MEMBER("5Mutex6UnlockEv"), this);
}
void Mutex::ReaderUnlock() {
  Unlocking unlocking(this, kRead);
  Call<void>(ONEAI_MEMBER("5Mutex12ReaderUnlockEv"), this);
}
void Mutex::LockWhen(const Condition& c) {
  Locking locking(this, kWrite);
  Call<void>(ONEAI_MEMBER("5Mutex8LockWhenERKNS0_9ConditionE"), this, &c);
}
void Mutex::ReaderLockWhen(const Condition& c) {
  Locking locking(this, kRead);
  Call<void>(ONEAI_MEMBER("5Mutex14ReaderLockWhenERKNS0_9ConditionE"), this, &c);
}
bool Mutex::LockWhenWithTimeout(const Condition& c, Duration d) {
  Locking locking(this, kWrite);
  return Call<bool>(ONEAI_MEMBER("5Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE"),
                    this, &c, d);
}
bool Mutex::LockWhenWithDeadline(const Condition& c, Time t) {
  Locking locking(this, kWrite);
  return Call<bool>(ONEAI_MEMBER("5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE"), this,
                    &c, t);
}
void Mutex::Await(const Condition& c) {
  Waiting waiting(this);
  Call<void>(ONEAI_MEMBER("5Mutex5AwaitERKNS0_9ConditionE"), this, &c);
}
bool Mutex::AwaitWithTimeout(const Condition& c, Duration d) {
  Waiting waiting(this);
  return Call<bool>(ONEAI_MEMBER("5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE"), this,
                    &c, d);
}
bool Mutex::AwaitWithDeadline(const Condition& c, Time t) {
  Waiting waiting(this);
  return Call<bool>(ONEAI_MEMBER("5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE"), this, &c,
                    t);
}
void CondVar::Wait(Mutex* mu) {
  Waiting waiting(mu);
  Call<void>(ONEAI_MEMBER("7CondVar4WaitEPNS0_5MutexE"), this, mu);
}
bool CondVar::WaitWithTimeout(Mutex* mu, Duration d) {
  Waiting waiting(mu);
  return Call<bool>(ONEAI_MEMBER("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE"), this, mu,
                    d);
}
bool CondVar::WaitWithDeadline(Mutex* mu, Time t) {
  Waiting waiting(mu);
  return Call<bool>(ONEAI_MEMBER("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE"), this, mu, t);
}
void Notification::Notify() {
  __tsan_release(FlagOf(this));
  Call<void>(ONEAI_MEMBER("12Notification6NotifyEv"), this);
}
void Notification::WaitForNotification() const {
  Call<void>(ONEAI_CONST_MEMBER("12Notification19WaitForNotificationEv"), this);
  __tsan_acquire(FlagOf(this));
}
bool Notification::WaitForNotificationWithTimeout(Duration d) const {
  const bool is_notified = Call<bool>(
      ONEAI_CONST_MEMBER("12Notification30WaitForNotificationWithTimeoutENS0_8DurationE"), this, d);
  if (is_notified) __tsan_acquire(FlagOf(this));
  return is_notified;
}
bool BlockingCounter::DecrementCount() {
  __tsan_release(this);
  return Call<bool>(ONEAI_MEMBER("15BlockingCounter14DecrementCountEv"), this);
}
void BlockingCounter::Wait() {
  Call<void>(ONEAI_MEMBER("15BlockingCounter4WaitEv"), this);
  __tsan_acquire(this);
}

ABSL_NAMESPACE_END
}  // namespace absl

#include "tests/testing/amx_emulator.h"

#include <dlfcn.h>
#include <ucontext.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "tests/testing/amx_unit.h"

namespace oneai::testing {
namespace {

AmxFaultFn on_fault_of_process = AbortOnAmxFault;

thread_local AmxUnit unit;
thread_local AmxCounts counts;
thread_local AmxObserver observer;

// General registers in the order of their encoding.
constexpr int kRegisters[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};

uint64_t ReadRegister(const mcontext_t& context, int number) {
  return number < 0 ? 0 : static_cast<uint64_t>(context.gregs[kRegisters[number]]);
}

void ReportFault(const AmxInstruction& in, uintptr_t rip, const char* why) {
  Dl_info info = {};
  const bool known = dladdr(reinterpret_cast<void*>(rip), &info) != 0;
  const uintptr_t base = known ? reinterpret_cast<uintptr_t>(info.dli_fbase) : 0;
  char message[512];
  std::snprintf(message, sizeof(message), "emulator: %s at %s+0x%zx: %s%s", AmxOpName(in.op),
                known ? info.dli_fname : "", static_cast<size_t>(rip - base),
                why[0] == '#' ? "" : "#UD: ", why);
  on_fault_of_process(message);
}

void Carry(const AmxInstruction& in, mcontext_t& context) {
  const auto rip = static_cast<uintptr_t>(context.gregs[REG_RIP]);
  const uintptr_t next = rip + static_cast<uintptr_t>(in.length);
  const bool is_move =
      in.op == AmxOp::kTileloadd || in.op == AmxOp::kTileloaddt1 || in.op == AmxOp::kTilestored;
  const uint64_t index = ReadRegister(context, in.index) * static_cast<uint64_t>(in.scale);
  uint64_t address = ReadRegister(context, in.base) + static_cast<uint64_t>(in.displacement);
  if (in.is_rip_relative) address += next;
  if (!is_move) address += index;
  const auto stride = static_cast<int64_t>(index);
  if (const char* why =
          unit.Execute(in, reinterpret_cast<std::byte*>(address), is_move ? stride : 0)) {
    ReportFault(in, rip, why);
  } else {
    ++counts.of_op[static_cast<int>(in.op)];
    if (observer.fn != nullptr) {
      observer.fn(observer.self,
                  {in.op, address, stride, unit.rows(in.tile), unit.row_bytes(in.tile)});
    }
  }
  context.gregs[REG_RIP] = static_cast<greg_t>(next);
}

// A signal costs microseconds, so what stands right behind an instruction is carried out with it.
void OnIllegalInstruction(int, siginfo_t*, void* context) {
  const int saved_errno = errno;
  mcontext_t& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
  const auto decode_next = [&] {
    return DecodeAmx(reinterpret_cast<const uint8_t*>(machine.gregs[REG_RIP]));
  };
  auto in = decode_next();
  if (!in.has_value()) std::signal(SIGILL, SIG_DFL);  // it runs again and ends the process
  for (; in.has_value(); in = decode_next()) Carry(*in, machine);
  errno = saved_errno;
}

}  // namespace

void InstallAmxEmulator(AmxFaultFn on_fault) {
  on_fault_of_process = on_fault;
  struct sigaction action = {};
  action.sa_sigaction = OnIllegalInstruction;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGILL, &action, nullptr);
}

void AbortOnAmxFault(const char* message) {
  std::fprintf(stderr, "%s\n", message);
  std::abort();
}

AmxCounts& AmxCountsOfThread() { return counts; }
void SetAmxObserverOfThread(AmxObserver value) { observer = value; }
bool AmxIsConfiguredOnThread() { return unit.is_configured(); }

}  // namespace oneai::testing

// The AMX emulator: runs compiled AMX instructions on processors without the unit. Such a processor
// raises #UD for them; the handler of SIGILL decodes the instruction, carries it out on tiles in
// memory and goes on behind it:
//
//   #UD -> SIGILL -> DecodeAmx -> AmxUnit of the thread -> rip += length
//
// So what runs is the machine code that hardware would run, some thousand times slower. Nothing
// else of the program changes: loads and stores fault as they would.
#pragma once

#include <cstdint>

#include "tests/testing/amx_instruction.h"

namespace oneai::testing {

// What the hardware would have refused: printed as "emulator: TDPBF16PS at binary+0x1234: #UD:
// ...".
using AmxFaultFn = void (*)(const char* message);

// Takes SIGILL over for the whole process. A fault is given to `on_fault`, and the instruction is
// skipped if that returns. Illegal instructions that are not AMX end the process as before.
void InstallAmxEmulator(AmxFaultFn on_fault);

// Prints the message and aborts.
void AbortOnAmxFault(const char* message);

// One instruction as the emulator saw it.
struct AmxEvent {
  AmxOp op;
  uintptr_t address;  // loads and stores only, as the next three
  int64_t stride;
  int rows;       // of the tile; of products: m
  int row_bytes;  // of products: n in bytes
};

// Counts of this thread.
struct AmxCounts {
  uint64_t of_op[kNumAmxOps];
  uint64_t operator[](AmxOp op) const { return of_op[static_cast<int>(op)]; }
};
AmxCounts& AmxCountsOfThread();

// Called for each instruction of this thread after it has run; null: nobody. It runs inside the
// handler.
struct AmxObserver {
  void (*fn)(void* self, const AmxEvent& event);
  void* self;
};
void SetAmxObserverOfThread(AmxObserver observer);

// True while this thread has tiles configured: a task that ends so makes every switch of threads
// save and restore them.
bool AmxIsConfiguredOnThread();

}  // namespace oneai::testing

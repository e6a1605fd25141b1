/* The C interface between oneai and a vendor's inference accelerator, version 1.
 *
 * A plugin is a shared library that exports one function, OneaiAsicGetApi, which returns a table of
 * functions. Devices run programs: short lists of operations on tensors whose shapes are fixed when
 * the program is compiled (a shape bucket), int8 products with int32 accumulation at the core.
 *
 * Rules
 * - Every struct begins with `struct_size`, set by whoever fills the struct to the size it was
 * compiled with. Fields are only ever appended; a reader must not read beyond struct_size. A change
 * that is not an appended field raises ONEAI_ASIC_ABI_VERSION.
 * - A function returns ONEAI_ASIC_OK or another code and then, where `error` is not null, a
 * sentence that says what is wrong. No exception crosses this interface, and outputs are untouched
 * on failure.
 * - The caller owns what it passes in; the plugin copies what it keeps. Strings that the plugin
 * returns live as long as the plugin is open.
 * - Functions may be called from any thread; calls that name the same program or buffer must not
 * overlap.
 * - Numbers are little-endian, matrices row-major without gaps.
 */
#ifndef ONEAI_KERNELS_ASIC_ASIC_PLUGIN_H_
#define ONEAI_KERNELS_ASIC_ASIC_PLUGIN_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ONEAI_ASIC_ABI_VERSION 1u

typedef enum OneaiAsicCode {
  ONEAI_ASIC_OK = 0,
  ONEAI_ASIC_INVALID_ARGUMENT = 1,    /* fix the call */
  ONEAI_ASIC_NOT_FOUND = 2,           /* no such device, buffer or tensor */
  ONEAI_ASIC_RESOURCE_EXHAUSTED = 3,  /* device memory */
  ONEAI_ASIC_UNIMPLEMENTED = 4,       /* this device cannot run that operation, dtype or shape */
  ONEAI_ASIC_FAILED_PRECONDITION = 5, /* e.g. closing while buffers are alive */
  ONEAI_ASIC_UNAVAILABLE = 6,         /* the device is lost or busy; retry as is */
  ONEAI_ASIC_INTERNAL = 7             /* a fault of the plugin */
} OneaiAsicCode;

typedef struct OneaiAsicError {
  uint32_t struct_size;
  char message[256]; /* null-terminated */
} OneaiAsicError;

typedef enum OneaiAsicDtype {
  ONEAI_ASIC_INT8 = 0,
  ONEAI_ASIC_INT32 = 1,
  ONEAI_ASIC_FLOAT32 = 2
} OneaiAsicDtype;

typedef struct OneaiAsicOpenOptions {
  uint32_t struct_size;
  uint32_t num_devices;  /* emulators: how many devices to show; hardware ignores it. 0: default */
  uint64_t memory_bytes; /* emulators: memory of each device; hardware ignores it. 0: default */
} OneaiAsicOpenOptions;

typedef struct OneaiAsicDeviceInfo {
  uint32_t struct_size;
  uint32_t dtype_mask;   /* bit (1 << OneaiAsicDtype) for each dtype the device computes with */
  const char* kind;      /* e.g. "hanguang-800"; what a job asks for */
  const char* name;      /* for people; an emulator says so here */
  uint64_t memory_bytes; /* capacity */
  uint64_t memory_used_bytes; /* allocated by this process */
} OneaiAsicDeviceInfo;

/* Operations. Tensors are matrices [rows, cols]; a vector is [1, n]. */
typedef enum OneaiAsicOpcode {
  /* out f32 [m,n] = float(sum_k x[m][k] * w[n][k]) * scale[n];  in: x int8 [m,k], w int8 [n,k],
     scale f32 [1,n]. The sum is exact in int32, so k <= 131071. */
  ONEAI_ASIC_OP_MATMUL_INT8 = 0,
  /* out int8 = clamp(round_half_even(x / parameter), -127, 127);  in: x f32, parameter > 0 */
  ONEAI_ASIC_OP_QUANTIZE = 1,
  /* out f32 = a + b;  b has a's shape, or one row that is added to every row */
  ONEAI_ASIC_OP_ADD = 2,
  ONEAI_ASIC_OP_RELU = 3, /* out f32 = max(x, 0) */
  ONEAI_ASIC_OP_SILU = 4, /* out f32 = x / (1 + exp(-x)) */
  /* out f32 = x / sqrt(mean of the row's x^2 + parameter) * weight;  in: x f32, weight f32 [1,cols]
   */
  ONEAI_ASIC_OP_RMSNORM = 5
} OneaiAsicOpcode;

typedef struct OneaiAsicTensor {
  uint32_t struct_size;
  uint32_t dtype; /* OneaiAsicDtype */
  uint32_t rows;
  uint32_t cols;
  uint32_t is_bound; /* 1: the caller binds a buffer at Run; 0: a temporary that the program owns */
} OneaiAsicTensor;

#define ONEAI_ASIC_NO_TENSOR 0xffffffffu

typedef struct OneaiAsicOp {
  uint32_t struct_size;
  uint32_t opcode;    /* OneaiAsicOpcode */
  uint32_t inputs[3]; /* tensor indices, ONEAI_ASIC_NO_TENSOR where unused */
  uint32_t output;    /* tensor index; written once, not read by its own operation */
  float parameter;
} OneaiAsicOp;

typedef struct OneaiAsicProgramSpec {
  uint32_t struct_size;
  uint32_t num_tensors;
  const OneaiAsicTensor* tensors;
  uint32_t num_ops;
  const OneaiAsicOp* ops; /* run in this order */
} OneaiAsicProgramSpec;

typedef uint64_t OneaiAsicBuffer; /* device memory; 0 is none */

typedef struct OneaiAsicBinding {
  uint32_t struct_size;
  uint32_t tensor;
  OneaiAsicBuffer buffer; /* at least as large as the tensor */
} OneaiAsicBinding;

typedef struct OneaiAsicSession OneaiAsicSession;
typedef struct OneaiAsicProgram OneaiAsicProgram;

typedef struct OneaiAsicApi {
  uint32_t struct_size;
  uint32_t abi_version; /* ONEAI_ASIC_ABI_VERSION that the plugin was built with */
  const char* vendor;   /* who made the plugin, for people */

  /* Starts using the devices. `options` may be null. */
  OneaiAsicCode (*open)(const OneaiAsicOpenOptions* options, OneaiAsicSession** session,
                        OneaiAsicError* error);
  /* FAILED_PRECONDITION while buffers or programs are alive. */
  OneaiAsicCode (*close)(OneaiAsicSession* session, OneaiAsicError* error);

  uint32_t (*num_devices)(OneaiAsicSession* session);
  /* The caller sets info->struct_size. */
  OneaiAsicCode (*device_info)(OneaiAsicSession* session, uint32_t device,
                               OneaiAsicDeviceInfo* info, OneaiAsicError* error);

  /* Memory of `device`, zeroed. RESOURCE_EXHAUSTED: it does not fit. */
  OneaiAsicCode (*allocate)(OneaiAsicSession* session, uint32_t device, uint64_t bytes,
                            OneaiAsicBuffer* buffer, OneaiAsicError* error);
  OneaiAsicCode (*release)(OneaiAsicSession* session, OneaiAsicBuffer buffer,
                           OneaiAsicError* error);
  OneaiAsicCode (*copy_to_device)(OneaiAsicSession* session, OneaiAsicBuffer buffer,
                                  uint64_t offset, const void* from, uint64_t bytes,
                                  OneaiAsicError* error);
  OneaiAsicCode (*copy_from_device)(OneaiAsicSession* session, OneaiAsicBuffer buffer,
                                    uint64_t offset, void* to, uint64_t bytes,
                                    OneaiAsicError* error);

  /* Checks the program and prepares it for one device; its temporaries count against that device.
   */
  OneaiAsicCode (*compile)(OneaiAsicSession* session, uint32_t device,
                           const OneaiAsicProgramSpec* spec, OneaiAsicProgram** program,
                           OneaiAsicError* error);
  OneaiAsicCode (*discard)(OneaiAsicSession* session, OneaiAsicProgram* program,
                           OneaiAsicError* error);
  /* Runs to completion. Every bound tensor needs exactly one binding, on the program's device. */
  OneaiAsicCode (*run)(OneaiAsicSession* session, OneaiAsicProgram* program,
                       const OneaiAsicBinding* bindings, uint32_t num_bindings,
                       OneaiAsicError* error);
} OneaiAsicApi;

/* The one symbol that a plugin exports. Never null; the table is constant. */
const OneaiAsicApi* OneaiAsicGetApi(void);
#define ONEAI_ASIC_ENTRY_POINT "OneaiAsicGetApi"

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* ONEAI_KERNELS_ASIC_ASIC_PLUGIN_H_ */

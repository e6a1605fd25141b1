#include "kernels/asic/emulator/program.h"

#include <algorithm>
#include <cmath>

namespace oneai::kernels::asic_emulator {
namespace {

// Beyond this many products of int8 the int32 sum could overflow: 131071 * 128 * 128 < 2^31.
constexpr uint32_t kDepthMax = 131071;

uint64_t BytesOf(const OneaiAsicTensor& t) {
  const uint64_t element = t.dtype == ONEAI_ASIC_INT8 ? 1 : 4;
  return uint64_t{t.rows} * t.cols * element;
}

std::string Describe(const OneaiAsicTensor& t) {
  const char* dtype = t.dtype == ONEAI_ASIC_INT8    ? "int8"
                      : t.dtype == ONEAI_ASIC_INT32 ? "int32"
                                                    : "float32";
  return std::string(dtype) + " [" + std::to_string(t.rows) + ", " + std::to_string(t.cols) + "]";
}

Result Invalid(const std::string& message) { return {ONEAI_ASIC_INVALID_ARGUMENT, message}; }

int NumInputs(uint32_t opcode) {
  switch (opcode) {
    case ONEAI_ASIC_OP_MATMUL_INT8:
      return 3;
    case ONEAI_ASIC_OP_ADD:
    case ONEAI_ASIC_OP_RMSNORM:
      return 2;
    case ONEAI_ASIC_OP_QUANTIZE:
    case ONEAI_ASIC_OP_RELU:
    case ONEAI_ASIC_OP_SILU:
      return 1;
    default:
      return -1;
  }
}

bool Is(const OneaiAsicTensor& t, OneaiAsicDtype dtype, uint32_t rows, uint32_t cols) {
  return t.dtype == dtype && t.rows == rows && t.cols == cols;
}

const float* F32(const std::byte* data) { return reinterpret_cast<const float*>(data); }
float* F32(std::byte* data) { return reinterpret_cast<float*>(data); }

// The int8 matrix engine: exact int32 sums, one scale per output channel.
void MatMulInt8(const int8_t* x, const int8_t* w, const float* scale, uint32_t rows,
                uint32_t outputs, uint32_t depth, float* out) {
  for (uint32_t m = 0; m < rows; ++m) {
    const int8_t* a = x + uint64_t{m} * depth;
    for (uint32_t n = 0; n < outputs; ++n) {
      const int8_t* b = w + uint64_t{n} * depth;
      int32_t sum = 0;
      for (uint32_t k = 0; k < depth; ++k) sum += int32_t{a[k]} * int32_t{b[k]};
      out[uint64_t{m} * outputs + n] = static_cast<float>(sum) * scale[n];
    }
  }
}

void Quantize(const float* x, float scale, uint64_t count, int8_t* out) {
  for (uint64_t i = 0; i < count; ++i) {
    const float q = std::nearbyint(x[i] / scale);
    // The comparisons are written so that NaN becomes -127 and never reaches the conversion.
    out[i] = static_cast<int8_t>(q > -127.0f ? (q < 127.0f ? q : 127.0f) : -127.0f);
  }
}

void Add(const float* a, const float* b, uint32_t rows, uint32_t cols, bool b_is_row, float* out) {
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < cols; ++c) {
      out[r * cols + c] = a[r * cols + c] + b[(b_is_row ? 0 : r * cols) + c];
    }
  }
}

void RmsNorm(const float* x, const float* weight, float epsilon, uint32_t rows, uint32_t cols,
             float* out) {
  for (uint64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (uint64_t c = 0; c < cols; ++c) sum += double{x[r * cols + c]} * x[r * cols + c];
    const float scale = static_cast<float>(1.0 / std::sqrt(sum / cols + epsilon));
    for (uint64_t c = 0; c < cols; ++c) out[r * cols + c] = x[r * cols + c] * scale * weight[c];
  }
}

}  // namespace

Result Program::CheckTensors() const {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const OneaiAsicTensor& t = tensors_[i];
    if (t.dtype > ONEAI_ASIC_FLOAT32 || t.rows == 0 || t.cols == 0 || t.is_bound > 1) {
      return Invalid("tensor " + std::to_string(i) + " has an unknown dtype or an empty shape");
    }
  }
  return {};
}

Result Program::CheckOps() const {
  std::vector<bool> has_value(tensors_.size());
  std::vector<bool> is_output(tensors_.size());
  for (const OneaiAsicOp& op : ops_) {
    if (op.output < tensors_.size()) is_output[op.output] = true;
  }
  for (size_t i = 0; i < tensors_.size(); ++i) {
    has_value[i] = tensors_[i].is_bound == 1 && !is_output[i];
  }
  for (size_t i = 0; i < ops_.size(); ++i) {
    const OneaiAsicOp& op = ops_[i];
    const std::string where = "operation " + std::to_string(i) + ": ";
    const int num_inputs = NumInputs(op.opcode);
    if (num_inputs < 0) {
      return {ONEAI_ASIC_UNIMPLEMENTED,
              where + "opcode " + std::to_string(op.opcode) + " is unknown to this device"};
    }
    for (int j = 0; j < num_inputs; ++j) {
      if (op.inputs[j] >= tensors_.size() || !has_value[op.inputs[j]]) {
        return Invalid(where + "input " + std::to_string(j) +
                       " is no tensor that is bound or written by an earlier operation");
      }
    }
    if (op.output >= tensors_.size() || has_value[op.output]) {
      return Invalid(where + "the output is no tensor or already has a value");
    }
    if (Result result = CheckOp(op); !result.ok()) return {result.code, where + result.message};
    has_value[op.output] = true;
  }
  return {};
}

Result Program::CheckOp(const OneaiAsicOp& op) const {
  const OneaiAsicTensor& x = tensors_[op.inputs[0]];
  const OneaiAsicTensor& out = tensors_[op.output];
  const auto mismatch = [&](const char* rule) {
    return Invalid(std::string(rule) + "; x is " + Describe(x) + ", out is " + Describe(out));
  };
  switch (op.opcode) {
    case ONEAI_ASIC_OP_MATMUL_INT8: {
      const OneaiAsicTensor& w = tensors_[op.inputs[1]];
      if (x.cols > kDepthMax) {
        return {ONEAI_ASIC_UNIMPLEMENTED,
                "a depth of " + std::to_string(x.cols) + " could overflow the int32 accumulator"};
      }
      if (x.dtype != ONEAI_ASIC_INT8 || !Is(w, ONEAI_ASIC_INT8, w.rows, x.cols) ||
          !Is(tensors_[op.inputs[2]], ONEAI_ASIC_FLOAT32, 1, w.rows) ||
          !Is(out, ONEAI_ASIC_FLOAT32, x.rows, w.rows)) {
        return mismatch(
            "matmul needs int8 x [m,k], int8 w [n,k], float32 scale [1,n] and out [m,n]");
      }
      return {};
    }
    case ONEAI_ASIC_OP_QUANTIZE:
      if (!(op.parameter > 0) || !std::isfinite(op.parameter)) {
        return Invalid("quantize needs a positive, finite scale");
      }
      if (x.dtype != ONEAI_ASIC_FLOAT32 || !Is(out, ONEAI_ASIC_INT8, x.rows, x.cols)) {
        return mismatch("quantize needs float32 x and int8 out of one shape");
      }
      return {};
    case ONEAI_ASIC_OP_ADD: {
      const OneaiAsicTensor& b = tensors_[op.inputs[1]];
      if (x.dtype != ONEAI_ASIC_FLOAT32 || !Is(out, ONEAI_ASIC_FLOAT32, x.rows, x.cols) ||
          (!Is(b, ONEAI_ASIC_FLOAT32, x.rows, x.cols) && !Is(b, ONEAI_ASIC_FLOAT32, 1, x.cols))) {
        return mismatch("add needs float32 a and out of one shape and b of that shape or one row");
      }
      return {};
    }
    case ONEAI_ASIC_OP_RMSNORM:
      if (!Is(tensors_[op.inputs[1]], ONEAI_ASIC_FLOAT32, 1, x.cols)) {
        return mismatch("rmsnorm needs a float32 weight [1,cols]");
      }
      break;
    default:
      break;
  }
  if (x.dtype != ONEAI_ASIC_FLOAT32 || !Is(out, ONEAI_ASIC_FLOAT32, x.rows, x.cols)) {
    return mismatch("this operation needs float32 x and out of one shape");
  }
  return {};
}

Result Program::Compile(const OneaiAsicProgramSpec& spec, DeviceMemory* memory,
                        std::unique_ptr<Program>* program) {
  std::unique_ptr<Program> compiled(new Program(memory));
  if (spec.num_ops == 0) return Invalid("the program has no operation");
  compiled->tensors_.assign(spec.tensors, spec.tensors + spec.num_tensors);
  compiled->ops_.assign(spec.ops, spec.ops + spec.num_ops);
  if (Result result = compiled->CheckTensors(); !result.ok()) return result;
  if (Result result = compiled->CheckOps(); !result.ok()) return result;
  for (const OneaiAsicTensor& t : compiled->tensors_) {
    std::unique_ptr<DeviceBytes> bytes;
    if (t.is_bound == 0) {
      bytes = DeviceBytes::Create(memory, BytesOf(t));
      if (bytes == nullptr) {
        return {ONEAI_ASIC_RESOURCE_EXHAUSTED, "the program's temporaries do not fit the device"};
      }
    }
    compiled->temporaries_.push_back(std::move(bytes));
  }
  *program = std::move(compiled);
  return {};
}

Result Program::Run(const std::vector<DeviceBytes*>& buffers) {
  std::vector<std::byte*> data(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    DeviceBytes* const bytes = temporaries_[i] != nullptr ? temporaries_[i].get() : buffers[i];
    if (bytes == nullptr) return Invalid("tensor " + std::to_string(i) + " has no binding");
    if (bytes->size() < BytesOf(tensors_[i])) {
      return Invalid("tensor " + std::to_string(i) + " is " + Describe(tensors_[i]) +
                     " and its buffer has only " + std::to_string(bytes->size()) + " bytes");
    }
    if (bytes->memory() != memory_) {
      return Invalid("tensor " + std::to_string(i) + " is bound to another device's buffer");
    }
    data[i] = bytes->data();
  }
  for (const OneaiAsicOp& op : ops_) RunOp(op, data);
  return {};
}

void Program::RunOp(const OneaiAsicOp& op, const std::vector<std::byte*>& data) const {
  const OneaiAsicTensor& x = tensors_[op.inputs[0]];
  const std::byte* in = data[op.inputs[0]];
  std::byte* out = data[op.output];
  const uint64_t count = uint64_t{x.rows} * x.cols;
  switch (op.opcode) {
    case ONEAI_ASIC_OP_MATMUL_INT8:
      return MatMulInt8(
          reinterpret_cast<const int8_t*>(in), reinterpret_cast<const int8_t*>(data[op.inputs[1]]),
          F32(data[op.inputs[2]]), x.rows, tensors_[op.inputs[1]].rows, x.cols, F32(out));
    case ONEAI_ASIC_OP_QUANTIZE:
      return Quantize(F32(in), op.parameter, count, reinterpret_cast<int8_t*>(out));
    case ONEAI_ASIC_OP_ADD:
      return Add(F32(in), F32(data[op.inputs[1]]), x.rows, x.cols, tensors_[op.inputs[1]].rows == 1,
                 F32(out));
    case ONEAI_ASIC_OP_RELU:
      for (uint64_t i = 0; i < count; ++i) F32(out)[i] = std::max(F32(in)[i], 0.0f);
      return;
    case ONEAI_ASIC_OP_SILU:
      for (uint64_t i = 0; i < count; ++i)
        F32(out)[i] = F32(in)[i] / (1.0f + std::exp(-F32(in)[i]));
      return;
    case ONEAI_ASIC_OP_RMSNORM:
      return RmsNorm(F32(in), F32(data[op.inputs[1]]), op.parameter, x.rows, x.cols, F32(out));
    default:
      return;  // CheckOps() admits no other
  }
}

}  // namespace oneai::kernels::asic_emulator

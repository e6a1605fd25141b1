#include "kernels/attention/write_kv_loop.h"

namespace oneai::kernels {

void WriteKvAvx2(const WriteKvArgs& args, int64_t begin, int64_t end) {
  WriteKvLoop<CpuIsa::kAvx2>::Run(args, begin, end);
}

}  // namespace oneai::kernels

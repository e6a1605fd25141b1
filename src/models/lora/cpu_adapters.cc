#include "models/lora/cpu_adapters.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/gemm/packed_matrix.h"

namespace oneai::models {
namespace {

// A module's factors as float32.
struct Factors {
  std::vector<float> a;  // [rank, in]
  std::vector<float> b;  // [out, rank], times scale
};

// One module's part in one site.
struct SiteModule {
  const LoraModule* module = nullptr;
  const Factors* factors = nullptr;
};

absl::StatusOr<Factors> ReadFactors(const LoraModule& module) {
  Factors factors;
  ASSIGN_OR_RETURN(factors.a, ToFloat32(module.a));
  ASSIGN_OR_RETURN(factors.b, ToFloat32(module.b));
  for (float& x : factors.b) x *= static_cast<float>(module.scale);
  return factors;
}

kernels::MatrixView View(const std::vector<float>& values, int64_t first_row, int64_t rows,
                         int64_t columns) {
  return {.data = values.data() + first_row * columns,
          .dtype = kernels::Dtype::kFloat32,
          .n = rows,
          .k = columns,
          .row_stride = columns};
}

// Packs what `modules` change in `site`.
absl::StatusOr<CpuLoraDelta> PackSite(const AdapterSite& site,
                                      const std::vector<SiteModule>& modules,
                                      kernels::WeightFormat format,
                                      kernels::KernelContext& context) {
  CpuLoraDelta delta;
  std::vector<kernels::MatrixView> a;
  int64_t rank_begin = 0;
  for (const SiteModule& m : modules) {
    a.push_back(View(m.factors->a, 0, m.module->rank, site.in));
    // The module's rows in the order of the site; a run of them without a gap makes one block.
    std::vector<kernels::MatrixView> run;
    int64_t out = 0, run_begin = 0;
    auto flush = [&]() -> absl::Status {
      if (run.empty()) return absl::OkStatus();
      CpuLoraDelta::Block block{.b = {}, .rank_begin = rank_begin, .out_begin = run_begin};
      ASSIGN_OR_RETURN(block.b, kernels::PackedMatrix::Pack(run, format, context));
      delta.blocks.push_back(std::move(block));
      run.clear();
      return absl::OkStatus();
    };
    for (const qwen::RowPart& part : site.parts) {
      if (part.name == m.module->weight) {
        if (run.empty()) run_begin = out;
        run.push_back(View(m.factors->b, part.begin, part.rows, m.module->rank));
      } else {
        RETURN_IF_ERROR(flush());
      }
      out += part.rows;
    }
    RETURN_IF_ERROR(flush());
    rank_begin += m.module->rank;
  }
  ASSIGN_OR_RETURN(delta.a, kernels::PackedMatrix::Pack(a, format, context));
  return delta;
}

}  // namespace

AdapterSet::AdapterSet(ModelConfig config, std::vector<AdapterSite> sites,
                       kernels::WeightFormat format, int64_t bytes_max)
    : config_(std::move(config)),
      sites_(std::move(sites)),
      format_(format),
      bytes_max_(bytes_max),
      context_(1),
      table_(std::make_shared<const AdapterTable>()) {
  for (size_t s = 0; s < sites_.size(); ++s) {
    for (const qwen::RowPart& part : sites_[s].parts) {
      std::vector<size_t>& of = sites_of_[part.name];
      if (of.empty() || of.back() != s) of.push_back(s);
    }
  }
}

absl::StatusOr<CpuLora> AdapterSet::Pack(const LoraAdapter& adapter) {
  std::vector<Factors> factors;
  factors.reserve(adapter.modules().size());
  absl::flat_hash_map<size_t, std::vector<SiteModule>> by_site;
  for (const LoraModule& module : adapter.modules()) {
    const auto found = sites_of_.find(module.weight);
    if (found == sites_of_.end() || sites_[found->second[0]].in != module.a.shape[1]) {
      return absl::InvalidArgumentError(
          absl::StrCat("the adapter was loaded for a model with another '", module.weight, "'"));
    }
    ASSIGN_OR_RETURN(Factors read, ReadFactors(module));
    factors.push_back(std::move(read));
    for (const size_t site : found->second) by_site[site].push_back({&module, &factors.back()});
  }
  CpuLora lora;
  lora.sites.resize(sites_.size());
  absl::MutexLock lock(&packing_mu_);
  for (const auto& [site, modules] : by_site) {
    ASSIGN_OR_RETURN(lora.sites[site], PackSite(sites_[site], modules, format_, context_));
    lora.bytes += lora.sites[site].a.bytes();
    for (const CpuLoraDelta::Block& block : lora.sites[site].blocks) lora.bytes += block.b.bytes();
  }
  return lora;
}

absl::StatusOr<int32_t> AdapterSet::Load(const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(const LoraAdapter adapter, LoraAdapter::Load(folder, config_));
  return Load(adapter);
}

absl::StatusOr<int32_t> AdapterSet::Load(const LoraAdapter& adapter) {
  ASSIGN_OR_RETURN(CpuLora lora, Pack(adapter));
  absl::MutexLock lock(&mu_);
  if (lora.bytes > bytes_max_ - bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the adapter takes ", lora.bytes, " bytes, and ", bytes_, " of ", bytes_max_,
                     " are taken: unload another adapter, or raise the limit"));
  }
  bytes_ += lora.bytes;
  const int32_t id = next_id_++;
  auto table = std::make_shared<AdapterTable>(*table_);
  (*table)[id] = std::make_shared<const CpuLora>(std::move(lora));
  table_ = std::move(table);
  return id;
}

absl::Status AdapterSet::Unload(int32_t id) {
  absl::MutexLock lock(&mu_);
  const auto found = table_->find(id);
  if (found == table_->end())
    return absl::NotFoundError(absl::StrCat("no adapter ", id, " is loaded"));
  bytes_ -= found->second->bytes;
  auto table = std::make_shared<AdapterTable>(*table_);
  table->erase(id);
  table_ = std::move(table);
  return absl::OkStatus();
}

int64_t AdapterSet::bytes() const {
  absl::MutexLock lock(&mu_);
  return bytes_;
}

std::shared_ptr<const AdapterTable> AdapterSet::Snapshot() const {
  absl::MutexLock lock(&mu_);
  return table_;
}

}  // namespace oneai::models

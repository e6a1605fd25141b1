// What a trainer writes and reads: the model for others, and the exact float32 state for itself.
#include <cstring>
#include <map>
#include <string>

#include "base/files/files.h"
#include "base/status.h"
#include "model_platform/train/torch_boundary.h"
#include "model_platform/train/trainer.h"
#include "model_platform/train/trainer_tensors.h"
#include "models/safetensors/checkpoint.h"
#include "models/safetensors/checkpoint_writer.h"

namespace oneai::platform {
namespace {

namespace fs = std::filesystem;

constexpr char kStateFile[] = "trainer/trainer_state.json";
constexpr char kTensorFile[] = "trainer/optimizer.safetensors";

// The flat vectors by the name that their tensors carry in the file.
std::map<std::string, torch::Tensor> Vectors(FlatAdamW& adamw) {
  return {
      {"master", adamw.values()}, {"exp_avg", adamw.exp_avg()}, {"exp_avg_sq", adamw.exp_avg_sq()}};
}

std::byte* BytesOf(const torch::Tensor& flat, const FlatAdamW::Slot& slot) {
  return reinterpret_cast<std::byte*>(flat.data_ptr<float>() + slot.begin);
}

absl::Status WriteTensors(FlatAdamW& adamw, const fs::path& file) {
  const auto vectors = Vectors(adamw);
  std::vector<models::TensorSpec> specs;
  for (const auto& [prefix, flat] : vectors) {
    for (const FlatAdamW::Slot& slot : adamw.slots()) {
      specs.push_back({absl::StrCat(prefix, ".", slot.name), models::DType::kF32, slot.shape});
    }
  }
  ASSIGN_OR_RETURN(const auto writer, models::SafetensorsWriter::Create(file, std::move(specs)));
  for (const auto& [prefix, flat] : vectors) {
    const torch::Tensor host = flat.cpu();
    for (const FlatAdamW::Slot& slot : adamw.slots()) {
      RETURN_IF_ERROR(
          writer->Append(absl::StrCat(prefix, ".", slot.name),
                         absl::MakeConstSpan(BytesOf(host, slot), slot.count * sizeof(float))));
    }
  }
  return writer->Commit();
}

absl::Status ReadTensors(FlatAdamW& adamw, const fs::path& file) {
  ASSIGN_OR_RETURN(const models::Checkpoint stored, models::Checkpoint::OpenFile(file));
  for (auto& [prefix, flat] : Vectors(adamw)) {
    torch::Tensor host = torch::empty(flat.sizes(), torch::kFloat32);
    for (const FlatAdamW::Slot& slot : adamw.slots()) {
      ASSIGN_OR_RETURN(const models::TensorView view,
                       stored.Get(absl::StrCat(prefix, ".", slot.name)));
      if (view.dtype != models::DType::kF32 || view.shape != slot.shape) {
        return absl::DataLossError(absl::StrCat(file.string(), ": tensor ", view.name,
                                                " is not of this model's shape and dtype"));
      }
      std::memcpy(BytesOf(host, slot), view.data.data(), view.data.size());
    }
    flat.copy_(host);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Trainer::SaveModel(const fs::path& folder) const {
  return WithinTorch("saving the model", [&] {
    return models::SaveTorchWeights(tensors_->weights, folder,
                                    settings_.torch_dtype == WeightsDtype::kBfloat16
                                        ? models::DType::kBF16
                                        : models::DType::kF32);
  });
}

absl::Status Trainer::SaveState(const fs::path& folder) const {
  std::error_code error;
  fs::create_directory(folder / "trainer", error);
  if (error)
    return ErrnoStatus(error.value(), absl::StrCat("making ", folder.string(), "/trainer"));
  RETURN_IF_ERROR(WithinTorch("saving the optimizer",
                              [&] { return WriteTensors(tensors_->adamw, folder / kTensorFile); }));
  return WriteFileAtomically(folder / kStateFile, ToJson(state_));
}

absl::Status Trainer::LoadState(const fs::path& folder) {
  const fs::path file = folder / kStateFile;
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  ASSIGN_OR_RETURN(TrainerState state, ParseTrainerState(text, file.string()));
  RETURN_IF_ERROR(WithinTorch("loading the optimizer",
                              [&] { return ReadTensors(tensors_->adamw, folder / kTensorFile); }));
  tensors_->adamw.set_steps(state.optimizer_steps);
  state_ = std::move(state);
  return absl::OkStatus();
}

}  // namespace oneai::platform

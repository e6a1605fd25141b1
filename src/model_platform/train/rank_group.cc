#include "model_platform/train/rank_group.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model_platform/train/torch_boundary.h"
#include "torch/csrc/distributed/c10d/ProcessGroupGloo.hpp"
#include "torch/csrc/distributed/c10d/TCPStore.hpp"
#include "torch/torch.h"

namespace oneai::platform {
namespace {

// Covers the longest time that one rank keeps the others waiting: rank 0 writing a checkpoint.
constexpr std::chrono::minutes kTimeout(10);
// Large enough for full bandwidth, small enough that several are in flight.
constexpr int64_t kBucketBytes = 4 << 20;

}  // namespace

struct RankGroup::Impl {
  c10::intrusive_ptr<c10d::TCPStore> store;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
};

RankGroup::RankGroup(int rank, int size) : rank_(rank), size_(size) {}
RankGroup::~RankGroup() = default;

absl::StatusOr<std::unique_ptr<RankGroup>> RankGroup::Join(const TaskEnvironment& task) {
  std::unique_ptr<RankGroup> group(new RankGroup(task.rank, task.world_size));
  if (task.world_size == 1) return group;
  auto join = [&]() -> absl::Status {
    c10d::TCPStoreOptions store_options;
    store_options.port = static_cast<uint16_t>(task.master_port);
    store_options.isServer = task.rank == 0;
    store_options.numWorkers = task.world_size;
    store_options.timeout = kTimeout;
    UsePlainSockets(store_options);
    group->impl_ = std::make_unique<Impl>();
    group->impl_->store = c10::make_intrusive<c10d::TCPStore>(task.master_addr, store_options);
    auto options = c10d::ProcessGroupGloo::Options::create(kTimeout);
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(task.address));
    group->impl_->gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(group->impl_->store, task.rank,
                                                                     task.world_size, options);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(WithinCollective(
      absl::StrCat("joining the gang at ", task.master_addr, ":", task.master_port), join));
  return group;
}

absl::Status RankGroup::Sum(torch::Tensor& tensor) {
  if (impl_ == nullptr) return absl::OkStatus();
  return WithinCollective("summing over the ranks", [&]() -> absl::Status {
    const int64_t bucket = std::max<int64_t>(1, kBucketBytes / tensor.element_size());
    std::vector<std::vector<torch::Tensor>> buckets;
    for (const torch::Tensor& part : tensor.split(bucket)) buckets.push_back({part});
    std::vector<decltype(impl_->gloo->allreduce(buckets[0]))> works;
    for (std::vector<torch::Tensor>& part : buckets) {
      works.push_back(impl_->gloo->allreduce(part));
    }
    for (auto& work : works) work->wait();
    return absl::OkStatus();
  });
}

absl::Status RankGroup::Broadcast(torch::Tensor& tensor) {
  if (impl_ == nullptr) return absl::OkStatus();
  return WithinCollective("receiving from rank 0", [&]() -> absl::Status {
    std::vector<torch::Tensor> tensors = {tensor};
    impl_->gloo->broadcast(tensors)->wait();
    return absl::OkStatus();
  });
}

absl::StatusOr<std::string> RankGroup::Broadcast(std::string text) {
  if (impl_ == nullptr) return text;
  torch::Tensor size = torch::full({1}, static_cast<int64_t>(text.size()), torch::kInt64);
  RETURN_IF_ERROR(Broadcast(size));
  text.resize(size.item<int64_t>());
  torch::Tensor bytes = torch::empty({static_cast<int64_t>(text.size()) + 1}, torch::kUInt8);
  std::memcpy(bytes.data_ptr(), text.data(), text.size());
  RETURN_IF_ERROR(Broadcast(bytes));
  std::memcpy(text.data(), bytes.data_ptr(), text.size());
  return text;
}

}  // namespace oneai::platform

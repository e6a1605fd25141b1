#include "kernels/asic/asic_device.h"

#include <dlfcn.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::kernels {
namespace internal {

struct AsicSession {
  std::string path;
  void* library = nullptr;
  const OneaiAsicApi* api = nullptr;
  OneaiAsicSession* session = nullptr;

  ~AsicSession() {
    // Buffers and programs hold this object, so none is alive here and close cannot refuse.
    if (session != nullptr) api->close(session, nullptr);
    if (library != nullptr) dlclose(library);
  }
};

}  // namespace internal

namespace {

using Session = std::shared_ptr<internal::AsicSession>;

absl::StatusCode ToStatusCode(OneaiAsicCode code) {
  switch (code) {
    case ONEAI_ASIC_OK:
      return absl::StatusCode::kOk;
    case ONEAI_ASIC_INVALID_ARGUMENT:
      return absl::StatusCode::kInvalidArgument;
    case ONEAI_ASIC_NOT_FOUND:
      return absl::StatusCode::kNotFound;
    case ONEAI_ASIC_RESOURCE_EXHAUSTED:
      return absl::StatusCode::kResourceExhausted;
    case ONEAI_ASIC_UNIMPLEMENTED:
      return absl::StatusCode::kUnimplemented;
    case ONEAI_ASIC_FAILED_PRECONDITION:
      return absl::StatusCode::kFailedPrecondition;
    case ONEAI_ASIC_UNAVAILABLE:
      return absl::StatusCode::kUnavailable;
    case ONEAI_ASIC_INTERNAL:
      return absl::StatusCode::kInternal;
  }
  return absl::StatusCode::kInternal;  // a code that version 1 does not know
}

// Calls `function` with an error struct and turns both into a Status that names the plugin.
template <typename Function>
absl::Status Call(const internal::AsicSession& session, Function function) {
  OneaiAsicError error{.struct_size = sizeof(OneaiAsicError)};
  const OneaiAsicCode code = function(&error);
  if (code == ONEAI_ASIC_OK) return absl::OkStatus();
  error.message[sizeof(error.message) - 1] = '\0';
  return absl::Status(ToStatusCode(code), absl::StrCat(session.path, ": ", error.message));
}

absl::Status CheckApi(const std::string& path, const OneaiAsicApi* api) {
  if (api == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": the plugin returned no table"));
  }
  // The version comes first: what follows it may differ in another version.
  if (api->abi_version != ONEAI_ASIC_ABI_VERSION || api->struct_size < sizeof(OneaiAsicApi)) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": the plugin has ABI version ", api->abi_version, " with a table of ",
        api->struct_size, " bytes, this build needs version ", ONEAI_ASIC_ABI_VERSION, " with ",
        sizeof(OneaiAsicApi), ": install the plugin that belongs to this release"));
  }
  return absl::OkStatus();
}

}  // namespace

struct AsicBuffer::Handle {
  Session session;
  OneaiAsicBuffer buffer;
};

void AsicBuffer::Delete::operator()(Handle* handle) const {
  handle->session->api->release(handle->session->session, handle->buffer, nullptr);
  delete handle;
}

AsicBuffer::AsicBuffer(std::unique_ptr<Handle> handle) : handle_(handle.release()) {}

absl::Status AsicBuffer::CopyFrom(absl::Span<const std::byte> from, uint64_t offset) {
  const internal::AsicSession& s = *handle_->session;
  return Call(s, [&](OneaiAsicError* error) {
    return s.api->copy_to_device(s.session, handle_->buffer, offset, from.data(), from.size(),
                                 error);
  });
}

absl::Status AsicBuffer::CopyTo(absl::Span<std::byte> to, uint64_t offset) const {
  const internal::AsicSession& s = *handle_->session;
  return Call(s, [&](OneaiAsicError* error) {
    return s.api->copy_from_device(s.session, handle_->buffer, offset, to.data(), to.size(), error);
  });
}

struct AsicProgram::Handle {
  Session session;
  OneaiAsicProgram* program;
};

void AsicProgram::Delete::operator()(Handle* handle) const {
  handle->session->api->discard(handle->session->session, handle->program, nullptr);
  delete handle;
}

AsicProgram::AsicProgram(std::unique_ptr<Handle> handle) : handle_(handle.release()) {}

absl::Status AsicProgram::Run(absl::Span<const Binding> bindings) {
  std::vector<OneaiAsicBinding> raw;
  raw.reserve(bindings.size());
  for (const Binding& binding : bindings) {
    raw.push_back({sizeof(OneaiAsicBinding), binding.tensor, binding.buffer->handle_->buffer});
  }
  const internal::AsicSession& s = *handle_->session;
  return Call(s, [&](OneaiAsicError* error) {
    return s.api->run(s.session, handle_->program, raw.data(), static_cast<uint32_t>(raw.size()),
                      error);
  });
}

AsicPlugin::AsicPlugin(Session session) : session_(std::move(session)) {}

absl::StatusOr<AsicPlugin> AsicPlugin::Load(const std::string& path,
                                            const AsicOpenOptions& options) {
  if (access(path.c_str(), R_OK) != 0) {
    return absl::NotFoundError(absl::StrCat(path, ": no readable plugin library there"));
  }
  auto session = std::make_shared<internal::AsicSession>();
  session->path = path;
  session->library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (session->library == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": cannot be loaded: ", dlerror()));
  }
  using GetApi = const OneaiAsicApi* (*)();
  const auto get_api = reinterpret_cast<GetApi>(dlsym(session->library, ONEAI_ASIC_ENTRY_POINT));
  if (get_api == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": not an accelerator plugin: it exports no ", ONEAI_ASIC_ENTRY_POINT));
  }
  RETURN_IF_ERROR(CheckApi(path, get_api()));
  session->api = get_api();
  const OneaiAsicOpenOptions raw{sizeof(raw), options.num_devices, options.memory_bytes};
  RETURN_IF_ERROR(Call(*session, [&](OneaiAsicError* error) {
    return session->api->open(&raw, &session->session, error);
  }));
  return AsicPlugin(std::move(session));
}

std::string AsicPlugin::vendor() const { return session_->api->vendor; }

absl::StatusOr<std::vector<AsicDeviceInfo>> AsicPlugin::Devices() const {
  const internal::AsicSession& s = *session_;
  std::vector<AsicDeviceInfo> devices;
  for (uint32_t i = 0; i < s.api->num_devices(s.session); ++i) {
    OneaiAsicDeviceInfo raw{.struct_size = sizeof(OneaiAsicDeviceInfo)};
    RETURN_IF_ERROR(Call(
        s, [&](OneaiAsicError* error) { return s.api->device_info(s.session, i, &raw, error); }));
    devices.push_back({.kind = raw.kind,
                       .name = raw.name,
                       .memory_bytes = raw.memory_bytes,
                       .memory_used_bytes = raw.memory_used_bytes,
                       .has_int8 = (raw.dtype_mask & (1u << ONEAI_ASIC_INT8)) != 0,
                       .has_float32 = (raw.dtype_mask & (1u << ONEAI_ASIC_FLOAT32)) != 0});
  }
  return devices;
}

absl::StatusOr<AsicBuffer> AsicPlugin::Allocate(uint32_t device, uint64_t bytes) const {
  const internal::AsicSession& s = *session_;
  OneaiAsicBuffer buffer = 0;
  RETURN_IF_ERROR(Call(s, [&](OneaiAsicError* error) {
    return s.api->allocate(s.session, device, bytes, &buffer, error);
  }));
  return AsicBuffer(std::make_unique<AsicBuffer::Handle>(AsicBuffer::Handle{session_, buffer}));
}

absl::StatusOr<AsicProgram> AsicPlugin::Compile(uint32_t device,
                                                absl::Span<const OneaiAsicTensor> tensors,
                                                absl::Span<const OneaiAsicOp> ops) const {
  const internal::AsicSession& s = *session_;
  const OneaiAsicProgramSpec spec{.struct_size = sizeof(OneaiAsicProgramSpec),
                                  .num_tensors = static_cast<uint32_t>(tensors.size()),
                                  .tensors = tensors.data(),
                                  .num_ops = static_cast<uint32_t>(ops.size()),
                                  .ops = ops.data()};
  OneaiAsicProgram* program = nullptr;
  RETURN_IF_ERROR(Call(s, [&](OneaiAsicError* error) {
    return s.api->compile(s.session, device, &spec, &program, error);
  }));
  return AsicProgram(std::make_unique<AsicProgram::Handle>(AsicProgram::Handle{session_, program}));
}

}  // namespace oneai::kernels

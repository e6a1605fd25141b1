// File: base/files/files.h
//
// File operations that keep their promises over a crash, and paths that cannot escape.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace oneai {

// NotFound, ResourceExhausted (larger than `bytes_max`), with the path.
absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path,
                                     int64_t bytes_max = 64 << 20);

// Writes a temporary file beside `path`, fsyncs, renames, fsyncs the folder: readers see the old or
// the new content, whole. ResourceExhausted: disk full (the old file is untouched). `mode` as for
// chmod.
absl::Status WriteFileAtomically(const std::filesystem::path& path, absl::string_view content,
                                 int mode = 0644);

absl::Status SyncDirectory(const std::filesystem::path& dir);

// `root / relative`, or InvalidArgument when `relative` is absolute, empty, has "..", NUL or a
// backslash, or (after resolving symbolic links of what exists) leaves `root`.
absl::StatusOr<std::filesystem::path> ResolveBeneath(const std::filesystem::path& root,
                                                     absl::string_view relative);

// The errno as a status: ENOSPC and EDQUOT ResourceExhausted, ENOENT NotFound, EACCES
// PermissionDenied, others Unavailable/Internal.
absl::Status ErrnoStatus(int error_number, absl::string_view what);

// SHA-256, lower-case hex.
std::string Sha256Hex(absl::string_view data);
absl::StatusOr<std::string> Sha256HexOfFile(const std::filesystem::path& path);

}  // namespace oneai

// Linked when the dashboard's pages were not built (no npm).
#include "controller/web/static_files.h"

namespace oneai {

absl::Span<const EmbeddedFile> EmbeddedFiles() { return {}; }

}  // namespace oneai

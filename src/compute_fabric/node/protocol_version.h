// File: compute_fabric/node/protocol_version.h
//
// The version of what agents and controllers say to each other. Raised when one of them would
// misunderstand the other; a node of another version joins NOT_READY and gets no tasks.
#pragma once

namespace oneai::fabric {

inline constexpr int kProtocolVersion = 4;

}  // namespace oneai::fabric

// Memory for many matrices that live long, on huge pages.
#pragma once

#include <cstddef>
#include <memory>

namespace oneai::kernels {

// Hands out zeroed memory, aligned to 64 bytes, from large regions for which huge pages are
// requested: a matrix of less than a huge page (2 MiB on x86) shares pages with its neighbours.
// Without them, weights that stream from memory lose up to a fifth of the bandwidth to address
// translation. Thread-compatible; pieces may be released by any thread and outlive this object.
class SharedPages {
 public:
  // A piece. When it is released its whole pages of 4 KiB go back to the system; the region itself
  // goes when its last piece does.
  using Piece = std::shared_ptr<std::byte>;

  // Null: no memory.
  Piece Allocate(size_t bytes);

 private:
  class Region;
  std::shared_ptr<Region> region_;  // the newest of small pieces
};

}  // namespace oneai::kernels

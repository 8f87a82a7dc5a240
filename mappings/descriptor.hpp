#pragma once

#include <unistd.h>

namespace weft::mappings {

/// Closes a file descriptor at the end of its scope; a negative one is none.
class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) {
      ::close(descriptor_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] int Value() const { return descriptor_; }

 private:
  int descriptor_;
};

}  // namespace weft::mappings

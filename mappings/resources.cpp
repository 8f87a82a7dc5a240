#include "mappings/resources.hpp"

#include <sys/stat.h>

namespace weft::mappings {

Resource ResourceAt(const std::string& physical_path) {
  struct stat status {};
  if (stat(physical_path.c_str(), &status) != 0) {
    return Resource::kNone;
  }
  return S_ISDIR(status.st_mode)   ? Resource::kDirectory
         : S_ISREG(status.st_mode) ? Resource::kFile
                                   : Resource::kNone;
}

bool ResourceProbe::SatisfiesOnDisk(ResourceType type) {
  if (!found_) {
    found_ = resources_ == nullptr ? Resource::kNone : resources_->At(path_);
  }
  switch (type) {
    case ResourceType::kUnspecified:
      return true;
    case ResourceType::kFile:
      return *found_ == Resource::kFile;
    case ResourceType::kDirectory:
      return *found_ == Resource::kDirectory;
    case ResourceType::kEither:
      return *found_ != Resource::kNone;
  }
  return false;
}

}  // namespace weft::mappings

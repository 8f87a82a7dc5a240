#pragma once

#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "mappings/type_name.hpp"

/// Why a type cannot be used, told alike by a worker and by the commands that look before one serves.
namespace weft::host::handling {

/// Why a type cannot be used, as one sentence.
class TypeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Tells that there is no module of this name: which of `names` was meant, or which files of `folders` it would be.
[[nodiscard]] std::string MissingModule(std::string_view name, std::span<const std::string> names,
                                        const std::vector<std::filesystem::path>& folders);

/// Tells that the type's module, or what is built in, has no such class: which of `names` was meant, or all of them.
[[nodiscard]] std::string MissingClass(const mappings::TypeName& type,
                                       std::span<const std::string> names);

/// Tells that a file names a class of the lifetime *factory*.
[[nodiscard]] std::string FactoryNamedByFile(std::string_view class_name);

}  // namespace weft::host::handling

#include "host/handling/module.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <exception>
#include <map>
#include <new>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include <weft/module.hpp>

namespace weft::host::handling {

namespace {

/// The names of DT_NEEDED, from the dynamic section that the linker itself has mapped and checked.
std::vector<std::string> NeededLibraries(void* handle) {
  link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr || map->l_ld == nullptr) {
    return {};
  }
  const char* names = nullptr;
  for (const auto* entry = map->l_ld; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_STRTAB) {
      // An address: glibc has added the base, but for machines where the section is read-only.
      const auto at =
          entry->d_un.d_ptr < map->l_addr ? entry->d_un.d_ptr + map->l_addr : entry->d_un.d_ptr;
      names = reinterpret_cast<const char*>(at);
    }
  }
  std::vector<std::string> libraries;
  for (const auto* entry = map->l_ld; names != nullptr && entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_NEEDED) {
      libraries.emplace_back(names + entry->d_un.d_val);
    }
  }
  return libraries;
}

/// Reads a structure, or nothing, where the file ends before.
template <typename T>
bool ReadAt(int file, std::uint64_t offset, T& into) {
  return pread(file, &into, sizeof(into), static_cast<off_t>(offset)) == sizeof(into);
}

/// Where an address of the loaded file is in the file itself.
std::optional<std::uint64_t> OffsetOf(const std::vector<ElfW(Phdr)>& segments,
                                      std::uint64_t address) {
  for (const auto& segment : segments) {
    if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
        address - segment.p_vaddr < segment.p_filesz) {
      return address - segment.p_vaddr + segment.p_offset;
    }
  }
  return std::nullopt;
}

/// The version of the contract whose library the file asks for: 4 for libweft.so.4. Nothing where it names none, or is no
/// file for the linker, which says so itself.
std::optional<std::uint32_t> ContractOf(int file) {
  ElfW(Ehdr) header{};
  if (!ReadAt(file, 0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_phentsize != sizeof(ElfW(Phdr))) {
    return std::nullopt;
  }
  std::vector<ElfW(Phdr)> segments(header.e_phnum);
  std::vector<std::uint64_t> names;
  std::optional<std::uint64_t> strings;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    if (!ReadAt(file, header.e_phoff + i * sizeof(ElfW(Phdr)), segments[i])) {
      return std::nullopt;
    }
  }
  for (const auto& segment : segments) {
    ElfW(Dyn) entry{};
    for (std::uint64_t at = 0; segment.p_type == PT_DYNAMIC && at < segment.p_filesz &&
                               ReadAt(file, segment.p_offset + at, entry) && entry.d_tag != DT_NULL;
         at += sizeof(entry)) {
      if (entry.d_tag == DT_NEEDED) {
        names.push_back(entry.d_un.d_val);
      } else if (entry.d_tag == DT_STRTAB) {
        strings = OffsetOf(segments, entry.d_un.d_ptr);
      }
    }
  }
  for (const auto name : names) {
    std::array<char, 32> text{};  // longer names are others'
    if (!strings ||
        pread(file, text.data(), text.size() - 1, static_cast<off_t>(*strings + name)) <= 0) {
      continue;
    }
    constexpr std::string_view kLibrary = "libweft.so.";
    const std::string_view needed(text.data());
    std::uint32_t version = 0;
    if (needed.starts_with(kLibrary) &&
        std::from_chars(needed.data() + kLibrary.size(), needed.data() + needed.size(), version)
                .ptr == needed.data() + needed.size()) {
      return version;
    }
  }
  return std::nullopt;
}

std::optional<std::uint32_t> ContractOf(const std::filesystem::path& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return std::nullopt;
  }
  const auto contract = ContractOf(file);
  close(file);
  return contract;
}

std::string OtherContract(const ModuleFile& file, std::uint32_t version) {
  return "module '" + file.name + "' was built against version " + std::to_string(version) +
         " of the handler contract, this host has version " +
         std::to_string(weft::detail::kContractVersion) + "; build it anew";
}

/// Fills in what the stamp says; the sentence why the module cannot be used, or nothing.
std::string ReadStamp(const ModuleFile& file, const weft::detail::ModuleStamp* stamp,
                      Module& module) {
  if (stamp == nullptr || stamp->magic != weft::detail::kModuleMagic) {
    return "module '" + file.name + "' (" + file.path.string() +
           ") is no handler module: it lacks WEFT_MODULE of <weft/module.hpp>";
  }
  module.contract_version = stamp->contract_version;
  if (stamp->contract_version != weft::detail::kContractVersion) {
    return OtherContract(file, stamp->contract_version);
  }
  module.compiler_abi = stamp->compiler_abi;
  module.build_type = stamp->build_type;
  if (std::strcmp(stamp->compiler_abi, weft::detail::kCompilerAbi) != 0) {
    return "module '" + file.name + "' was built for '" + stamp->compiler_abi +
           "', this host for '" + weft::detail::kCompilerAbi +
           "'; build it with the same compiler and options";
  }
  return {};
}

}  // namespace

ModuleSearch FindModules(const std::vector<std::filesystem::path>& folders) {
  ModuleSearch search;
  std::map<std::string, std::filesystem::path> seen;
  for (const auto& folder : folders) {
    std::error_code error;
    std::vector<std::filesystem::path> files;
    for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
         at.increment(error)) {
      std::error_code unreadable;
      // Nothing that would be waited for, a FIFO say.
      if (at->path().extension() == ".so" &&
          std::filesystem::is_regular_file(at->path(), unreadable)) {
        files.push_back(at->path());
      }
    }
    if (error) {
      search.all_folders_read = false;
      search.warnings.push_back("the folder of modules " + folder.string() +
                                " cannot be read: " + error.message());
    }
    std::sort(files.begin(), files.end());  // their initialisers run in an order that can be told
    for (auto& file : files) {
      auto name = file.stem().string();
      const auto [first, is_first] = seen.emplace(name, file);
      if (!is_first) {
        search.warnings.push_back("module '" + name + "': " + file.string() + " is not used, for " +
                                  first->second.string() + " comes first");
        continue;
      }
      search.files.push_back({std::move(name), std::move(file)});
    }
  }
  return search;
}

Module LoadModule(const ModuleFile& file, std::size_t pool) {
  Module module;
  // Before its code is here: two libraries of the contract in one process, where both are installed, would share what they
  // call the same.
  if (const auto contract = ContractOf(file.path);
      contract && *contract != weft::detail::kContractVersion) {
    module.contract_version = *contract;
    module.error = OtherContract(file, *contract);
    return module;
  }
  // Now, not at first use: a module that lacks a symbol is refused before it serves. Local, so that two modules may
  // have a class of one name.
  void* const handle = dlopen(file.path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    module.error = "module '" + file.name + "' cannot be loaded: " + dlerror();
    return module;
  }
  module.libraries = NeededLibraries(handle);
  const auto* const stamp =
      static_cast<const weft::detail::ModuleStamp*>(dlsym(handle, "weft_module_stamp"));
  void* const entry = dlsym(handle, "weft_module_register");
  module.error = ReadStamp(file, entry == nullptr ? nullptr : stamp, module);
  if (!module.error.empty()) {
    return module;
  }
  auto classes = std::make_unique<HandlerRegistry>(pool);
  try {
    reinterpret_cast<void (*)(IHandlerRegistry&)>(entry)(*classes);
  } catch (const std::exception& failure) {
    module.error = "module '" + file.name + "' cannot be used: " + failure.what();
    return module;
  } catch (...) {
    module.error = "module '" + file.name + "' cannot be used: its entry point threw";
    return module;
  }
  module.classes = std::move(classes);
  return module;
}

}  // namespace weft::host::handling

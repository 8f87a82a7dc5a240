#include "host/runtime/symbol_table.hpp"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <iterator>

namespace weft::host::runtime {

namespace {

template <typename T>
const T* At(std::string_view image, std::uint64_t offset, std::uint64_t count) {
  if (offset > image.size() || offset % alignof(T) != 0 ||
      count > (image.size() - offset) / sizeof(T)) {
    return nullptr;
  }
  return reinterpret_cast<const T*>(image.data() + offset);
}

/// Null: it is no ELF file of this machine's class.
const ElfW(Ehdr) * HeaderOf(std::string_view image) {
  const auto* const header = At<ElfW(Ehdr)>(image, 0, 1);
  const bool is_elf =
      header != nullptr && image.substr(0, SELFMAG) == std::string_view(ELFMAG, SELFMAG);
  return is_elf ? header : nullptr;
}

}  // namespace

SymbolTable::SymbolTable(const char* file, Which which) {
  const int descriptor = ::open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) {
    return;
  }
  struct stat status {};
  if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
    const auto size = static_cast<std::size_t>(status.st_size);
    void* const base = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (base != MAP_FAILED) {
      Read({static_cast<const char*>(base), size}, which);
      ::munmap(base, size);
    }
  }
  ::close(descriptor);
}

const std::pair<std::uint64_t, std::string>* SymbolTable::Find(std::uint64_t address) const {
  auto above = functions_.upper_bound(address);
  if (above == functions_.begin()) {
    return nullptr;
  }
  const auto& [start, function] = *std::prev(above);
  return address - start < function.first ? &function : nullptr;
}

std::optional<std::uint64_t> SymbolTable::AddressOf(std::uint64_t offset) const {
  for (const auto& segment : segments_) {
    if (offset >= segment.offset && offset - segment.offset < segment.bytes) {
      return offset - segment.offset + segment.address;
    }
  }
  return std::nullopt;
}

/// Of what may be no sound file at all: it may have been replaced since it was loaded.
void SymbolTable::Read(std::string_view image, Which which) {
  if (HeaderOf(image) == nullptr) {
    return;
  }
  ReadSymbols(image, SHT_SYMTAB);
  if (which == Which::kAny) {
    ReadSegments(image);
    if (functions_.empty()) {
      ReadSymbols(image, SHT_DYNSYM);
    }
  }
}

void SymbolTable::ReadSegments(std::string_view image) {
  const auto& header = *HeaderOf(image);
  const auto* const segments = header.e_phentsize == sizeof(ElfW(Phdr))
                                   ? At<ElfW(Phdr)>(image, header.e_phoff, header.e_phnum)
                                   : nullptr;
  for (std::size_t i = 0; segments != nullptr && i < header.e_phnum; ++i) {
    if (segments[i].p_type == PT_LOAD) {
      segments_.push_back({segments[i].p_offset, segments[i].p_filesz, segments[i].p_vaddr});
    }
  }
}

void SymbolTable::ReadSymbols(std::string_view image, std::uint32_t section_type) {
  const auto& header = *HeaderOf(image);
  if (header.e_shentsize != sizeof(ElfW(Shdr))) {
    return;
  }
  const auto* const sections = At<ElfW(Shdr)>(image, header.e_shoff, header.e_shnum);
  for (std::size_t i = 0; sections != nullptr && i < header.e_shnum; ++i) {
    const auto& section = sections[i];
    if (section.sh_type != section_type || section.sh_link >= header.e_shnum) {
      continue;
    }
    const auto& names = sections[section.sh_link];
    const auto count = section.sh_size / sizeof(ElfW(Sym));
    const auto* const symbols = At<ElfW(Sym)>(image, section.sh_offset, count);
    const auto* const text = At<char>(image, names.sh_offset, names.sh_size);
    if (symbols == nullptr || text == nullptr) {
      continue;
    }
    for (std::size_t s = 0; s < count; ++s) {
      const auto& symbol = symbols[s];
      // The same in both classes.
      if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_size != 0 &&
          symbol.st_name < names.sh_size) {
        const std::string_view rest(text + symbol.st_name, names.sh_size - symbol.st_name);
        functions_.try_emplace(symbol.st_value, symbol.st_size, rest.substr(0, rest.find('\0')));
      }
    }
  }
}

std::string Demangled(const char* name) {
  int status = 0;
  char* const text = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  std::string result = status == 0 ? text : name;
  std::free(text);
  return result;
}

std::string Hexadecimal(std::uint64_t number) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(number));
  return text.data();
}

}  // namespace weft::host::runtime

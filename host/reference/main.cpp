#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>

#include "host/options/exit_code.hpp"
#include "host/reference/manual.hpp"

namespace reference = weft::host::reference;

/// weft-reference manual SOURCE: prints what is made from the tables of options and commands. A program of the build,
/// which is not installed.
int main(int argc, char** argv) {
  try {
    if (argc == 3 && std::string_view(argv[1]) == "manual") {
      std::ifstream file(argv[2], std::ios::binary);
      const std::string source{std::istreambuf_iterator<char>(file), {}};
      std::cout << reference::ManualPage(source) << std::flush;
      return std::cout.good() ? weft::host::options::kExitOk
                              : weft::host::options::kExitInputOutput;
    }
    std::cerr << "usage: weft-reference manual SOURCE\n";
    return weft::host::options::kExitUsage;
  } catch (const std::exception& error) {
    std::cerr << std::string("weft-reference: ") + error.what() + "\n";
    return weft::host::options::kExitSoftware;
  }
}

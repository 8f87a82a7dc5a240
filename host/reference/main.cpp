#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>

#include "host/options/exit_code.hpp"
#include "host/reference/completion.hpp"
#include "host/reference/manual.hpp"

namespace reference = weft::host::reference;

static int Print(const std::string& text) {
  std::cout << text << std::flush;
  return std::cout.good() ? weft::host::options::kExitOk : weft::host::options::kExitInputOutput;
}

/// weft-reference manual SOURCE | bash | zsh: prints what is made from the tables of options and commands. A program of the
/// build, which is not installed.
int main(int argc, char** argv) {
  try {
    const std::string_view what = argc > 1 ? argv[1] : "";
    if (argc == 2 && what == "bash") return Print(reference::BashCompletion());
    if (argc == 2 && what == "zsh") return Print(reference::ZshCompletion());
    if (argc == 3 && what == "manual") {
      std::ifstream file(argv[2], std::ios::binary);
      const std::string source{std::istreambuf_iterator<char>(file), {}};
      return Print(reference::ManualPage(source));
    }
    std::cerr << "usage: weft-reference manual SOURCE | bash | zsh\n";
    return weft::host::options::kExitUsage;
  } catch (const std::exception& error) {
    std::cerr << std::string("weft-reference: ") + error.what() + "\n";
    return weft::host::options::kExitSoftware;
  }
}

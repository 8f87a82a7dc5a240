// One of two modules that define the same names differently, all of them visible: what an author gets who forgets to
// hide them, or whose headers do not let him.
#include <string>

#include <weft/weft.hpp>

#pragma GCC visibility push(default)

namespace shop {

inline int g_served = 100;

template <typename T>
struct Tally {
  static inline int count = 100;
};

class Counter : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    context.Response().Write(Name() + ": " + std::to_string(++g_served) + " " +
                             std::to_string(++Tally<int>::count) + " " + std::to_string(++Local()) +
                             ", " + std::to_string(++mine_) + " by this instance");
  }
  bool IsReusable() const override { return true; }

 private:
  int mine_ = 0;

  static std::string Name() { return "two"; }
  static int& Local() {
    static int count = 100;
    return count;
  }
};

}  // namespace shop

#pragma GCC visibility pop

WEFT_MODULE(registry) { weft::AddHandler<shop::Counter>(registry, "shop::Counter"); }
